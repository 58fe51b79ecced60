"""The floor: bare FastAPI apps with the client requests, hops and durable commits of a `pay` journey and nothing else.

No authentication, no validation, no protocol, no recovery, no discovery, no logs, no metrics: what remains is what two
cores can do at all with these libraries, and the platform's throughput is given as a share of it.

A card payment here: 4 client requests, 8 calls between services, 11 commits, as in the platform:

    client -> order    read the goods
    client -> cart     put it in                  1 commit
    client -> order    create the order           1 commit    -> cart (read), later -> cart (clear, in batches)
    client -> gateway  pay                        3 commits   begun, decided, closed
               gateway -> order    prepare, decision          2 commits
               gateway -> payment  prepare, decision          2 commits
                          payment -> channel  authorize, capture   2 commits
"""
