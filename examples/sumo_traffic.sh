#!/usr/bin/env bash
# Traffic by SUMO for `eafl mobility`: a small town of 5 x 5 crossings, a car every eight seconds, three minutes.
#
#     pip install -e '.[sumo]'
#     examples/sumo_traffic.sh town_fcd.xml.gz
#     eafl mobility town_fcd.xml.gz --grid 2x2 --radius-m 250 --step-s 1
#
# The file in tests/mobility was made by it (SUMO 1.28.0, EPL-2.0).
set -euo pipefail
out=$(realpath "${1:?usage: examples/sumo_traffic.sh FILE.xml.gz}")
export SUMO_HOME=${SUMO_HOME:-$(python3 -c 'import sumo; print(sumo.SUMO_HOME)')}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
netgenerate --grid --grid.number 5 --grid.length 150 --seed 1 -o town.net.xml
python3 "$SUMO_HOME/tools/randomTrips.py" -n town.net.xml -o trips.xml --seed 1 --end 120 --period 8 --min-distance 400
sumo -n town.net.xml -r trips.xml --seed 1 --end 180 --fcd-output fcd.xml --fcd-output.attributes x,y,speed --no-step-log
# Without the comment on top, which holds the date: the same command makes the same file.
python3 - fcd.xml "$out" <<'PYTHON'
import gzip, re, sys
from pathlib import Path
source, target = map(Path, sys.argv[1:])
text = re.sub(r"<!--.*?-->\s*", "", source.read_text(), count=1, flags=re.DOTALL)
target.write_bytes(gzip.compress(text.encode(), mtime=0))
PYTHON
echo "$out"
