"""What is on sale, for a load that has no plan to tell it."""

import json
import urllib.request

from loadtests.registry import NotARegistry, Registry

PAGE_SIZE = 100


def goods_on_sale(registry: Registry, timeout_s: float) -> list[int]:
    """Ids of the first page of goods. Raises NotARegistry if the platform behind the registry does not answer."""
    if (replica := registry.resolve("order")) is None:
        raise NotARegistry("the registry answers, but no order service is registered: is the platform up?")
    url = f"{replica.address}/goods?limit={PAGE_SIZE}"
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - the registry's own address
            return [int(goods["goods_id"]) for goods in json.load(answer)["goods"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotARegistry(f"GET {url} gave {error!r} instead of the goods on sale") from error
