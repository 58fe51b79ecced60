"""Registrations as Eureka clients send them: Spring Cloud Netflix in JSON, the documented form in XML."""

from __future__ import annotations

SPRING_JSON = b"""{"instance":{"instanceId":"10.1.2.3:loyalty:8085","hostName":"10.1.2.3","app":"LOYALTY",
"ipAddr":"10.1.2.3","status":"UP","overriddenStatus":"UNKNOWN","port":{"$":8085,"@enabled":"true"},
"securePort":{"$":443,"@enabled":"false"},"countryId":1,
"dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
"leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":90,"registrationTimestamp":0,"lastRenewalTimestamp":0,
"evictionTimestamp":0,"serviceUpTimestamp":0},"metadata":{"management.port":"8085","version":"0.2.0","weight":"50"},
"homePageUrl":"http://10.1.2.3:8085/","statusPageUrl":"http://10.1.2.3:8085/actuator/info",
"healthCheckUrl":"http://10.1.2.3:8085/actuator/health","vipAddress":"loyalty","secureVipAddress":"loyalty",
"isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"1706700000123","lastDirtyTimestamp":"1706700000456",
"appGroupName":null,"asgName":null,"sid":"na","actionType":null}}"""

SPRING_XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<instance>
  <instanceId>10.1.2.3:loyalty:8085</instanceId><hostName>10.1.2.3</hostName><app>loyalty</app><ipAddr>10.1.2.3</ipAddr>
  <status>UP</status><overriddenstatus>UNKNOWN</overriddenstatus>
  <port enabled="true">8085</port><securePort enabled="false">443</securePort><countryId>1</countryId>
  <dataCenterInfo class="com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"><name>MyOwn</name></dataCenterInfo>
  <leaseInfo><renewalIntervalInSecs>30</renewalIntervalInSecs><durationInSecs>90</durationInSecs></leaseInfo>
  <metadata><management.port>8085</management.port><version>0.2.0</version><weight>50</weight></metadata>
  <homePageUrl>http://10.1.2.3:8085/</homePageUrl>
  <statusPageUrl>http://10.1.2.3:8085/actuator/info</statusPageUrl>
  <healthCheckUrl>http://10.1.2.3:8085/actuator/health</healthCheckUrl>
  <vipAddress>loyalty</vipAddress><secureVipAddress>loyalty</secureVipAddress>
  <isCoordinatingDiscoveryServer>false</isCoordinatingDiscoveryServer>
  <lastUpdatedTimestamp>1706700000123</lastUpdatedTimestamp><lastDirtyTimestamp>1706700000456</lastDirtyTimestamp>
</instance>"""
