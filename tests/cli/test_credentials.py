def test_credentials_are_made_and_added_to(tmp_path, eafl):
    made = eafl("credentials", "make", "federation", "rsu-0, rsu-1", "--hosts", "superlink")
    assert (made.code, made.err) == (0, "")
    assert made.out == "Certificates, keys and FLWR_HOME: federation/certs, federation/keys, federation/flwr\n"
    added = eafl("credentials", "add", "federation", "rsu-2")
    assert (added.code, added.out) == (0, "Keys: federation/keys/rsu-2\n")
    assert sorted(path.name for path in (tmp_path / "federation" / "keys").iterdir()) == ["rsu-0", "rsu-1", "rsu-2"]


def test_what_is_there_is_refused_by_one_line(eafl):
    eafl("credentials", "make", "federation", "rsu-0")
    again = eafl("credentials", "make", "federation", "rsu-0")
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("error: federation/certs/ca.crt and 6 more would be replaced")
    assert eafl("credentials", "make", "federation", "rsu-0", "--overwrite").code == 0


def test_an_address_that_the_certificate_does_not_name_is_refused(eafl):
    ended = eafl("credentials", "make", "federation", "rsu-0", "--address", "superlink:8000")
    assert ended.code == 1
    assert ended.err.startswith(
        'error: address "superlink:8000": expected HOST:PORT with one of the hosts localhost, 127'
    )
