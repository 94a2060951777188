import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDoor, targetOf } from "./fixture/door.ts";

let door: Awaited<ReturnType<typeof openDoor>>;
const drawn = () => door.world.calls.filter((name) => name === "drawCode").length;

beforeEach(async () => {
  door = await openDoor({ config: { rateLimits: { public: { count: 20, seconds: 60 } } } });
  door.world.targets.set("abc123", targetOf({}));
});
afterEach(() => door.close());

describe("the picture of a code", () => {
  it.each([
    ["png", "image/png"],
    ["svg", "image/svg+xml"],
  ])("is served as %s, to every origin, for a day", async (format, contentType) => {
    const response = await door.get(`/qr/abc123.${format}?size=300`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe(contentType);
    expect(response.headers.get("cache-control")).toBe("public, max-age=86400");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await response.text()).toBe(`abc123 as ${format} in 300`);
  });

  it("is 304 to who has it", async () => {
    const etag = (await door.get("/qr/abc123.png")).headers.get("etag") as string;
    const response = await door.get("/qr/abc123.png", { headers: { "if-none-match": `"other", W/${etag}` } });
    expect([response.status, response.headers.get("etag"), await response.text()]).toEqual([304, etag, ""]);
  });

  it("has its headers for HEAD", async () => {
    const response = await door.get("/qr/abc123.png", { method: "HEAD" });
    expect([response.status, response.headers.get("content-length")]).toEqual([200, "18"]);
  });

  it("is drawn once for each way to draw it, until the code changes", async () => {
    for (const query of ["?size=300", "?size=300", "?size=301", "?size=300&unknown=1"])
      await door.get(`/qr/abc123.png${query}`);
    expect(drawn()).toBe(2);
    door.codesChanged({ objectId: "qpr_1", aliases: ["abc123"] });
    await door.get("/qr/abc123.png?size=300");
    expect(drawn()).toBe(3);
  });

  it("counts against the caller's limit only when it must be drawn", async () => {
    for (let size = 64; size < 84; size++) await door.get(`/qr/abc123.png?size=${size}`);
    expect((await door.get("/qr/abc123.png?size=64")).status).toBe(200);
    expect((await door.get("/qr/abc123.png?size=100")).status).toBe(429);
  });

  it.each([
    ["size=63", "size"],
    ["size=4097", "size"],
    ["size=1e3", "size"],
    ["size=", "size"],
    ["margin=17", "margin"],
    ["margin=-1", "margin"],
    ["ecc=X", "ecc"],
    ["dark=red", "dark"],
    ["light=12345", "light"],
  ])("refuses %s and names it", async (query, field) => {
    const response = await door.get(`/qr/abc123.png?${query}`);
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await response.json()).toMatchObject({ errors: [{ field, message: expect.stringContaining(field) }] });
  });

  it("takes all that it can be asked for", async () => {
    const response = await door.get("/qr/abc123.svg?size=64&margin=0&ecc=h&dark=%23112233&light=aabbcc00");
    expect(response.status).toBe(200);
  });

  it.each(["/qr/unknown.png", "/qr/abc123.gif", "/qr/abc123"])("is 404 when there is none: %s", async (path) => {
    expect((await door.get(path)).status).toBe(404);
  });
});
