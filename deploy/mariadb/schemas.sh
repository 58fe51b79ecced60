#!/bin/sh
# Gives every service a schema and a user that can reach nothing else, and the lab a user that can only read.
# The names and passwords are the files of /run/secrets/users. May run again: it mends what is missing or has changed.
# PAYLAB_MARIADB_SECRETS and PAYLAB_MARIADB_SOCKET name another folder and another server than the container's.
set -eu

secrets=${PAYLAB_MARIADB_SECRETS:-/run/secrets}
MYSQL_PWD=$(cat "$secrets/root_password")
export MYSQL_PWD
for file in "$secrets"/users/*; do
  name=$(basename "$file")
  user="'$name'@'%'"
  echo "CREATE USER IF NOT EXISTS $user; ALTER USER $user IDENTIFIED BY '$(cat "$file")';"
  if [ "$name" = lab ]; then
    echo "GRANT SELECT ON *.* TO $user;"
  else
    echo "CREATE DATABASE IF NOT EXISTS \`$name\`;"
    echo "GRANT ALL PRIVILEGES ON \`$name\`.* TO $user;"
  fi
done | mariadb --protocol=socket ${PAYLAB_MARIADB_SOCKET:+--socket="$PAYLAB_MARIADB_SOCKET"} --user=root --database=mysql
