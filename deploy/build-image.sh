#!/usr/bin/env bash
# Builds the image `waterbear:local` (or the name given as first argument) around a binary built on
# this host. Set WATERBEAR_BIN to use a binary that is already there, PROFILE=release to skip the
# slow optimisations of the profile that images ship.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${1:-waterbear:local}
profile=${PROFILE:-dist}

if [ -z "${WATERBEAR_BIN:-}" ]; then
  cargo build --locked --profile "$profile" --package waterbear
  target=$(cargo metadata --format-version=1 --locked --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  WATERBEAR_BIN=$target/$profile/waterbear
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context"/root/etc "$context"/owned/{data,secrets,tmp}
chmod 700 "$context"/owned/{data,secrets}
install -m 755 "$WATERBEAR_BIN" "$context/root/waterbear"
if command -v strip >/dev/null; then strip "$context/root/waterbear"; fi

# The loader and the libraries, each at the path at which the binary looks for it.
ldd "$WATERBEAR_BIN" | grep -o '/[^ ]*' | while read -r library; do
  install -D -m 755 "$(readlink -f "$library")" "$context/root$library"
done
# glibc before 2.34 looks names up in libraries that ldd does not show.
for library in /lib/*-linux-gnu/libnss_{files,dns}.so.2 /lib/*-linux-gnu/libresolv.so.2; do
  if [ -e "$library" ]; then install -D -m 755 "$(readlink -f "$library")" "$context/root$library"; fi
done
echo 'hosts: files dns' >"$context/root/etc/nsswitch.conf"
echo 'waterbear:x:10001:10001::/data:/waterbear' >"$context/root/etc/passwd"
echo 'waterbear:x:10001:' >"$context/root/etc/group"

docker build --quiet --tag "$image" --file Dockerfile "$context"
echo "built $image ($(docker image inspect --format '{{.Size}}' "$image" | numfmt --to=iec)) around $WATERBEAR_BIN"
