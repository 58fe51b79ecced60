#!/bin/sh
# The official image's `healthcheck.sh --connect --innodb_initialized`: only the server that is open to the network counts,
# not the temporary one of the first start. Somebody who is refused by name has been answered.
mariadb-admin --no-defaults --protocol=tcp --host=127.0.0.1 --user=healthcheck --connect-timeout=2 ping 2>&1 |
  grep -Eq 'mysqld is alive|Access denied'
