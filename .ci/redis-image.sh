#!/usr/bin/env bash
# Makes a local image under the name given ($1) from this machine's own redis-server, for machines that can't pull one.
# It holds redis-server, redis-cli, sh and their libraries, and behaves as the official image does (protected mode off).
set -euo pipefail
name=${1:-redis:7}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,tmp,data,etc,opt/redis,usr/local/bin}
copy_libraries() { # of the program $1, each to the path that the loader looks for it at
  { ldd "$1" || true; } | grep -o '/[^ )]*' | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
}
for program in redis-server redis-cli sh; do
  path=$(readlink -f "$(command -v "$program")")
  copy_libraries "$path"
  case $program in
    sh) cp "$path" "$root/bin/sh" ;;
    *) cp "$path" "$root/opt/redis/$program" ;;
  esac
done
cp "$root/opt/redis/redis-cli" "$root/usr/local/bin/redis-cli"
cat >"$root/usr/local/bin/redis-server" <<'SH'
#!/bin/sh
exec /opt/redis/redis-server "$@" --protected-mode no
SH
chmod 755 "$root/usr/local/bin/redis-server" "$root/tmp"
tar -C "$root" -c . | docker import \
  --change 'ENV PATH=/usr/local/bin:/bin' --change 'WORKDIR /data' --change 'VOLUME /data' \
  --change 'EXPOSE 6379' --change 'CMD ["redis-server"]' - "$name" >/dev/null
echo "made $name from $(redis-server --version)"
