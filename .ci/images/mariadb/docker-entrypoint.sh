#!/usr/bin/env bash
# The official image's contract, as far as docker-compose.yml relies on it: MARIADB_ROOT_PASSWORD, MARIADB_DATABASE,
# MARIADB_USER, MARIADB_PASSWORD (each also as ..._FILE), /docker-entrypoint-initdb.d, stepping down from root.
set -euo pipefail
data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock

from_file() {
  local file=${1}_FILE
  if [ -n "${!file:-}" ]; then
    [ -z "${!1:-}" ] || { echo "both $1 and $file are set" >&2; exit 1; }
    export "$1=$(<"${!file}")"
  fi
}
as_root() { MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --protocol=socket --socket="$socket" -uroot "$@"; }
quoted() { printf "'%s'" "${1//\'/\'\'}"; }

initialize() {
  : "${MARIADB_ROOT_PASSWORD:?set MARIADB_ROOT_PASSWORD or MARIADB_ROOT_PASSWORD_FILE}"
  mariadb-install-db --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
  "$@" --skip-networking --socket="$socket" &
  local server=$! tries=0
  until mariadb --protocol=socket --socket="$socket" -uroot -e 'SELECT 1' >/dev/null 2>&1; do
    ((tries++ < 300)) && kill -0 "$server" || { echo "the temporary server does not start" >&2; exit 1; }
    sleep 0.1
  done
  mariadb --protocol=socket --socket="$socket" -uroot -e "
    ALTER USER root@localhost IDENTIFIED BY $(quoted "$MARIADB_ROOT_PASSWORD");
    CREATE USER root@'%' IDENTIFIED BY $(quoted "$MARIADB_ROOT_PASSWORD");
    GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
  if [ -n "${MARIADB_DATABASE:-}" ]; then as_root -e "CREATE DATABASE \`$MARIADB_DATABASE\`"; fi
  if [ -n "${MARIADB_USER:-}" ]; then
    as_root -e "CREATE USER $(quoted "$MARIADB_USER")@'%' IDENTIFIED BY $(quoted "${MARIADB_PASSWORD:-}");
      GRANT ALL ON \`${MARIADB_DATABASE:-$MARIADB_USER}\`.* TO $(quoted "$MARIADB_USER")@'%'"
  fi
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) as_root <"$file" ;;
    esac
  done
  kill "$server" && wait "$server"
}

[ "${1:0:1}" != - ] || set -- mariadbd "$@"
if [ "$1" = mariadbd ] && [ "$(id -u)" = 0 ]; then
  chown mysql: "$data" /run/mysqld
  exec setpriv --reuid=mysql --regid=mysql --clear-groups "$0" "$@"
fi
if [ "$1" = mariadbd ]; then
  for name in MARIADB_ROOT_PASSWORD MARIADB_DATABASE MARIADB_USER MARIADB_PASSWORD; do from_file "$name"; done
  # The mark of a data folder that was made whole: a first start that was interrupted begins again.
  if [ ! -e "$data/.initialized" ]; then
    find "$data" -mindepth 1 -delete
    initialize "$@"
    touch "$data/.initialized"
  fi
  unset MARIADB_ROOT_PASSWORD MARIADB_PASSWORD
  set -- "$@" --socket="$socket"
fi
exec "$@"
