"""Eureka's two wire formats: what clients send is understood, what they get has the shape that they parse."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.services.configcenter.eureka_codec import (
    Action,
    Instance,
    InvalidInstance,
    Lease,
    Port,
    Status,
    applications_document,
    hashcode_of,
    instance_document,
    read_instance,
    rendered,
)

from .eureka_bodies import SPRING_JSON, SPRING_XML

LOYALTY = Instance(
    instance_id="10.1.2.3:loyalty:8085",
    app="LOYALTY",
    host_name="10.1.2.3",
    ip_addr="10.1.2.3",
    port=Port(8085, enabled=True),
    secure_port=Port(443, enabled=False),
    lease=Lease(30, 90),
    metadata={"management.port": "8085", "version": "0.2.0", "weight": "50"},
    home_page_url="http://10.1.2.3:8085/",
    status_page_url="http://10.1.2.3:8085/actuator/info",
    health_check_url="http://10.1.2.3:8085/actuator/health",
    vip_address="loyalty",
    secure_vip_address="loyalty",
    updated_at_ms=1_706_700_000_123,
    dirty_at_ms=1_706_700_000_456,
)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(SPRING_JSON, "application/json"), (SPRING_XML, "application/xml"), (SPRING_XML, "text/xml; charset=utf-8")],
)
def test_both_forms_of_a_registration_say_the_same(body: bytes, content_type: str) -> None:
    assert read_instance(body, content_type) == LOYALTY


@pytest.mark.parametrize("accept", ["application/json", "application/xml"])
def test_what_is_written_can_be_read_again(accept: str) -> None:
    instance = replace(LOYALTY, status=Status.DOWN, metadata={"note": "<&\"'>", "a.b": "c"}, app_group_name="x&y")
    body, content_type = rendered("instance", instance_document(instance), accept)
    assert read_instance(body, content_type) == instance


def test_the_json_list_has_eurekas_peculiar_shape() -> None:
    other = replace(LOYALTY, instance_id="b", status=Status.DOWN, metadata={}, action=Action.MODIFIED)
    document = applications_document([LOYALTY, other], 3, hashcode_of([Status.UP, Status.DOWN, Status.UP]))
    body, content_type = rendered("applications", document, "application/json, application/*+json")
    shown = json.loads(body)["applications"]
    assert content_type == "application/json"
    assert (shown["versions__delta"], shown["apps__hashcode"]) == ("3", "DOWN_1_UP_2_")
    assert [application["name"] for application in shown["application"]] == ["LOYALTY"]
    first, second = shown["application"][0]["instance"]
    assert first["port"] == {"$": 8085, "@enabled": "true"}
    assert first["dataCenterInfo"] == {
        "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
        "name": "MyOwn",
    }
    assert (first["lastUpdatedTimestamp"], first["isCoordinatingDiscoveryServer"]) == ("1706700000123", "false")
    assert first["leaseInfo"]["durationInSecs"] == 90
    assert second["metadata"] == {"@class": "java.util.Collections$EmptyMap"}
    assert (second["overriddenStatus"], second["actionType"]) == ("UNKNOWN", "MODIFIED")


def test_an_empty_registry_is_an_empty_list() -> None:
    body, _ = rendered("applications", applications_document([], 1, ""), "application/json")
    assert json.loads(body) == {"applications": {"versions__delta": "1", "apps__hashcode": "", "application": []}}


def test_the_xml_list_has_attributes_and_the_lower_case_name() -> None:
    body, content_type = rendered("applications", applications_document([LOYALTY], 3, "UP_1_"), "*/*")
    root = ElementTree.fromstring(body)
    assert content_type == "application/xml"
    port = root.find("application/instance/port")
    assert port is not None
    assert (port.text, port.attrib) == ("8085", {"enabled": "true"})
    assert root.findtext("application/instance/overriddenstatus") == "UNKNOWN"
    assert root.findtext("application/instance/metadata/management.port") == "8085"


def test_metadata_with_names_that_xml_lacks_are_left_out_of_the_xml() -> None:
    instance = replace(LOYALTY, metadata={"prometheus.io/scrape": "true", "1st": "x", "": "y", "fine": "z"})
    body, _ = rendered("instance", instance_document(instance), "application/xml")
    metadata = ElementTree.fromstring(body).find("metadata")
    assert metadata is not None
    assert [element.tag for element in metadata] == ["fine"]


def test_all_problems_are_named() -> None:
    body = b'{"instance":{"app":"","port":{"$":70000},"leaseInfo":{"durationInSecs":"soon"},"metadata":[1]}}'
    with pytest.raises(InvalidInstance) as caught:
        read_instance(body, "application/json")
    said = "\n".join(caught.value.problems)
    for place in ("app", "hostName", "ipAddr", "port.$", "durationInSecs", "metadata", "dataCenterInfo"):
        assert f"instance.{place}" in said or f"leaseInfo.{place}" in said, place


def test_a_word_that_is_no_status_is_unknown_as_eureka_has_it() -> None:
    assert read_instance(SPRING_JSON.replace(b'"UP"', b'"WELL"'), "application/json").status is Status.UNKNOWN


BOMB = b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><instance>&b;</instance>'
FILE = b'<!DOCTYPE i [<!ENTITY x SYSTEM "file:///etc/passwd">]><instance><hostName>&x;</hostName></instance>'
DEEP = b"<a>" * 100 + b"</a>" * 100
WIDE = b"<a>" + b"<b/>" * 10_000 + b"</a>"


@pytest.mark.parametrize("body", [BOMB, FILE, DEEP, WIDE, b"", b"<a>", b"\xff\xfe<", b"<a>&nosuch;</a>"])
def test_dangerous_and_broken_xml_is_refused_quickly(body: bytes) -> None:
    began_s = time.process_time()  # what others take of the machine does not count
    with pytest.raises(InvalidInstance):
        read_instance(body, "application/xml")
    assert time.process_time() - began_s < 1, "a bomb would take for ever"


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["instance", "port", "$", "@enabled", "metadata", "leaseInfo", "app", "hostName", "x"]), inner
    ), max_leaves=12,
))  # fmt: skip
def test_any_json_is_an_instance_or_has_problems(document: object) -> None:
    problems = ["none yet"]
    try:
        read_instance(json.dumps({"instance": document}).encode(), "application/json")
    except InvalidInstance as error:
        problems = error.problems
    assert problems


@given(st.binary(max_size=200))
def test_any_bytes_as_xml_are_an_instance_or_have_problems(body: bytes) -> None:
    with pytest.raises(InvalidInstance):
        read_instance(body, "application/xml")
