#!/bin/sh
# Register every public key in a folder with the SuperLink, once it listens. Keys that it knows already stay.
set -eu
for key in "$1"/*.pub; do
    tries=0
    until said=$(flwr supernode register "$key" 2>&1); do
        case $said in
            *"already in use"*) break ;;
        esac
        tries=$((tries + 1))
        if [ "$tries" -ge 30 ]; then
            echo "$key was not registered: $said" >&2
            exit 1
        fi
        sleep 1
    done
    echo "$key: registered"
done
