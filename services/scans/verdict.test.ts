import { describe, expect, it } from "vitest";
import { DeviceType } from "#gen/waymark/events/v1/touches_pb.ts";
import { openUserAgents, parseUserAgent } from "./device.ts";
import { actorOf, reasonOf } from "./verdict.ts";

const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
const person = { reason: "", name: "" } as const;

describe("who a user agent is", () => {
  it.each([
    ["", "", ""],
    [IPHONE, "", ""],
    [
      "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 [FBAN/FBIOS;FBAV/440.0]",
      "",
      "",
    ],
    ["Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "isbot", "Googlebot"],
    ["curl/8.5.0", "isbot", "curl"],
    ["python-requests/2.31.0", "isbot", "python-requests"],
    ["WhatsApp/2.23.20.0", "preview", "WhatsApp"],
    ["Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "preview", "Slackbot-LinkExpanding"],
    ["facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "preview", "facebookexternalhit"],
    ["Twitterbot/1.0", "preview", "Twitterbot"],
    ["TelegramBot (like TwitterBot)", "preview", "TelegramBot"],
    ["Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "preview", "Discordbot"],
    ["LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)", "preview", "LinkedInBot"],
  ])("%s: %j %j", (userAgent, reason, name) => expect(actorOf(userAgent)).toEqual({ reason, name }));
});

describe("why a touch does not count", () => {
  it.each([
    ["a plain request", "GET", {}, ""],
    ["a scan through the API", "", {}, ""],
    ["HEAD", "HEAD", {}, "head"],
    ["Chrome's prefetch", "GET", { "sec-purpose": "prefetch" }, "prefetch"],
    ["Chrome's prerender", "GET", { "sec-purpose": "prefetch;prerender" }, "prefetch"],
    ["an older prefetch", "GET", { purpose: "prefetch" }, "prefetch"],
    ["Firefox's prefetch", "GET", { "x-moz": "prefetch" }, "prefetch"],
    ["Safari's top sites", "GET", { "x-purpose": "preview" }, "prefetch"],
    ["another purpose", "GET", { purpose: "scan" }, ""],
  ])("%s", (_case, method, headers, reason) => expect(reasonOf({ method, headers }, person)).toBe(reason));

  it("is what it does before who it is", () => {
    const bot = { reason: "isbot", name: "Googlebot" } as const;
    expect(reasonOf({ method: "HEAD", headers: { purpose: "prefetch" } }, bot)).toBe("head");
    expect(reasonOf({ method: "GET", headers: { purpose: "prefetch" } }, bot)).toBe("prefetch");
    expect(reasonOf({ method: "GET", headers: {} }, bot)).toBe("isbot");
  });
});

describe("the device of a user agent", () => {
  it.each([
    [IPHONE, DeviceType.MOBILE, "Safari", "iOS", "Apple"],
    [
      "Mozilla/5.0 (iPad; CPU OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.5 Mobile/15E148 Safari/604.1",
      DeviceType.TABLET,
      "Safari",
      "iOS",
      "Apple",
    ],
    [
      "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36",
      DeviceType.MOBILE,
      "Chrome",
      "Android",
      "",
    ],
    [
      "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
      DeviceType.DESKTOP,
      "Microsoft Edge",
      "Windows",
      "",
    ],
    ["something nobody knows", DeviceType.UNSPECIFIED, "", "", ""],
    ["Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", DeviceType.UNSPECIFIED, "", "", ""],
  ])("%s", (text, type, browser, platform, brand) => {
    expect(parseUserAgent(text)).toMatchObject({
      type,
      platform,
      ...(browser && { browser }),
      ...(brand && { brand }),
    });
  });

  it("is remembered, and of a text without end only its beginning is looked at", () => {
    const read = openUserAgents();
    expect(read(IPHONE)).toBe(read(IPHONE));
    expect(read(`${IPHONE}${" x".repeat(1000)}`).type).toBe(DeviceType.MOBILE);
  });
});
