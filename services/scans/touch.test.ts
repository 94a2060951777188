import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  DeviceIdentitySetting,
  IpSetting,
  PlaceSetting,
  type Privacy,
  PrivacySchema,
  UserAgentSetting,
} from "#gen/waymark/access/v1/authority_pb.ts";
import { Purpose, TouchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { openUserAgents } from "./device.ts";
import { openIdentities } from "./identity.ts";
import { touchOf } from "./touch.ts";

const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
const berlin = { country: "DE", region: "BE", city: "Berlin", timezone: "Europe/Berlin" };
const lens = {
  userAgents: openUserAgents(),
  places: { locate: () => berlin },
  identities: openIdentities(Buffer.alloc(32, 1)),
};
const all = create(PrivacySchema, { ip: IpSetting.FULL, respectGpc: true });

/** The touch of a scan with everything, in a workspace that collects this. */
function scanned(privacy: Partial<Privacy>, over: MessageInitShape<typeof TouchInputSchema> = {}) {
  const arrival = create(TouchInputSchema, {
    purpose: Purpose.MARKETING,
    ip: "192.0.2.99",
    userAgent: IPHONE,
    headers: { "accept-language": "de-AT,de;q=0.9", referer: "https://example.com/page?secret=1" },
    query: "utm_source=poster&utm_medium=print&utm_campaign=spring&other=1",
    ...over,
  });
  const code = { codeId: "qpr_1", shortId: "hc9m3r", metadata: undefined };
  const setting = { id: "s", workspace: "w", test: false, now: 1_700_000_000_123, ...code };
  return touchOf(arrival, { ...setting, privacy: { ...all, ...privacy } }, lens);
}

describe("a touch keeps what the workspace collects", () => {
  it("all of it", () => {
    const touch = scanned({});
    expect(touch).toMatchObject({
      place: berlin,
      ip: "192.0.2.99",
      userAgent: IPHONE,
      device: { browser: "Safari", language: "de-AT" },
      referrer: "https://example.com/page",
      campaign: { source: "poster", medium: "print", name: "spring" },
      scannedAt: { seconds: 1_700_000_000n, nanos: 123_000_000 },
    });
    expect(touch.deviceId).not.toBe("");
    expect(toBinary(TouchSchema, touch)).toEqual(toBinary(TouchSchema, create(TouchSchema, touch)));
  });

  it.each([
    ["truncated", IpSetting.TRUNCATED, "192.0.2.99", "192.0.2.0"],
    ["truncated by default", IpSetting.UNSPECIFIED, "192.0.2.99", "192.0.2.0"],
    ["truncated to 48 bits", IpSetting.TRUNCATED, "2001:db8:1:2::9", "2001:db8:1::"],
    ["not at all", IpSetting.NONE, "192.0.2.99", ""],
    ["nothing of what is no address", IpSetting.FULL, "unknown", ""],
  ])("the address %s", (_case, setting, ip, kept) => expect(scanned({ ip: setting }, { ip }).ip).toBe(kept));

  it.each([
    ["the country alone", PlaceSetting.COUNTRY, { country: "DE", region: "", city: "", timezone: "" }],
    ["no place", PlaceSetting.NONE, undefined],
  ])("%s", (_case, place, kept) => {
    const touch = scanned({ place });
    if (kept === undefined) expect(touch.place).toBeUndefined();
    else expect(touch.place).toMatchObject(kept);
  });

  it.each([
    ["the text and the device", UserAgentSetting.FULL, IPHONE, "Safari", "de-AT"],
    ["the device alone", UserAgentSetting.PARSED, "", "Safari", "de-AT"],
    ["nothing of the user agent", UserAgentSetting.NONE, "", "", ""],
  ])("%s", (_case, userAgent, text, browser, language) => {
    expect(scanned({ userAgent })).toMatchObject({ userAgent: text, device: { browser, language } });
  });

  it("neither device nor address of who has opted out, but the place", () => {
    const touch = scanned({}, { headers: { "sec-gpc": "1" } });
    expect(touch).toMatchObject({ deviceId: "", ip: "", place: berlin });
  });

  it("no device where none is to be recognised", () => {
    expect(scanned({ deviceIdentity: DeviceIdentitySetting.NONE }).deviceId).toBe("");
  });

  it("the place and device that were given, in place of those that can be told", () => {
    const place = create(TouchInputSchema, { place: { country: "fr", city: "Paris" } }).place;
    expect(scanned({}, { place, device: "tablet" })).toMatchObject({
      place: { country: "FR", region: "", city: "Paris" },
      device: { type: 2, browser: "Safari" },
    });
  });

  it("never a country that is none", () => {
    const place = create(TouchInputSchema, { place: { country: "x.y", city: "Paris" } }).place;
    expect(scanned({}, { place }).place).toMatchObject({ country: "", city: "Paris" });
  });
});
