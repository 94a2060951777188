import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { eventually } from "./eventually.ts";
import { DESKTOP, PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;
beforeAll(async () => {
  waymark = await startWaymark({ WAYMARK_PUBLIC_URL: "https://qr.example" });
  ({ key } = await waymark.workspace("visitors"));
});
afterAll(() => waymark.stop());

const read = async (path: string) => (await waymark.call("GET", `/analytics/v1${path}`, { key })).body;
const write = (method: string, path: string, body?: unknown) =>
  waymark.call(method, `/analytics/v1${path}`, { key, body });

/** A link with conversion tracking; scanning it with a browser gives the lbid that its destination is told. */
async function makeLink(name: string): Promise<{ id: string; scan: (userAgent: string) => Promise<string> }> {
  const { body } = await write("POST", "/links", {
    name,
    destination: "https://shop.example/?utm_source=poster",
    conversionTracking: true,
  });
  return {
    id: body.link.id,
    scan: async (userAgent) => {
      const headers = { "user-agent": userAgent };
      const answer = await waymark.call("GET", `/s/${body.link.shortlink}`, { headers });
      return new URL(answer.headers.get("location") as string).searchParams.get("lbid") as string;
    },
  };
}

describe("a person who scans with two devices", () => {
  it("is one visitor once the shop says who it is, can be changed, found and counted, and is forgotten as a whole", async () => {
    const [menu, poster] = [await makeLink("Menu"), await makeLink("Poster")];
    const [phone, laptop] = [await menu.scan(PHONE), await poster.scan(DESKTOP)];

    const first = await write("POST", "/visitor/identify", {
      lbid: phone,
      visitor: { data: { $email: "Ann@Example.com", $firstName: "Ann", plan: "pro", seats: 3 } },
    });
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({ created: true, visitor: { email: "ann@example.com", deviceCount: "1" } });
    const { id } = first.body.visitor;

    const second = await write("POST", "/visitor/identify", {
      lbid: laptop,
      setOnce: true,
      visitor: { data: { $email: "ann@example.com", plan: "free", city: "Bern" } },
    });
    expect(second.body).toMatchObject({ created: false, visitor: { id, deviceCount: "2", qrcodeCount: "2" } });

    const visitor = await read(`/visitors/${id}?include=devices&include=links&include=events`);
    expect(
      visitor.attributes.map(({ key: name, value }: { key: string; value: string }) => `${name}=${value}`),
    ).toEqual(["city=Bern", "plan=pro", "seats=3"]);
    expect([visitor.devices.length, visitor.links.length, visitor.events.length]).toEqual([2, 2, 2]);
    for (const query of ["email=ANN@example.com", "search=ann", `linkId=${poster.id}`])
      expect((await read(`/visitors?${query}`)).json.visitors.map((one: { id: string }) => one.id)).toEqual([id]);
    expect((await read(`/events?visitorId=${id}&include=visitor`)).json.events).toMatchObject([
      { visitor: { id, firstName: "Ann" } },
      { visitor: { id, firstName: "Ann" } },
    ]);

    const changed = await write("PATCH", `/visitors/${id}`, { visitor: { data: { seats: 5, city: null } } });
    expect(changed.body.attributes).toMatchObject([{ key: "plan" }, { key: "seats", numberValue: 5 }]);
    expect(await read("/visitors/attributes")).toMatchObject({
      attributeKeys: ["$email", "$firstName", "plan", "seats"],
    });
    const metric = await write("POST", "/analytics/attributes/metric", { key: "seats" });
    expect(metric.body).toMatchObject({ audienceCount: 1, totalCount: 1, averageValue: 5, coverageRate: 100 });

    expect(await write("DELETE", `/visitors/${id}`)).toMatchObject({ status: 200, body: { success: true } });
    expect((await read("/events")).json.events).toEqual([]);
    expect((await waymark.call("GET", `/analytics/v1/visitors/${id}`, { key })).status).toBe(404);

    await menu.scan(PHONE);
    await eventually(async () => {
      const { json } = await read("/visitors");
      expect(json.visitors).toMatchObject([{ id, visitCount: "1", attributes: [] }]);
      expect(json.visitors[0].email ?? null).toBeNull();
    });
  });

  it("is nobody of another workspace, and an lbid that is none is refused by name", async () => {
    const link = await makeLink("Wall");
    const lbid = await link.scan(PHONE);
    const other = await waymark.workspace("visitors next door");
    const body = { lbid, visitor: { data: { a: 1 } } };
    const foreign = await waymark.call("POST", "/analytics/v1/visitor/identify", { key: other.key, body });
    expect(foreign.status).toBe(404);
    const wrong = await write("POST", "/visitor/identify", { ...body, lbid: "no lbid" });
    expect([wrong.status, wrong.text]).toEqual([400, expect.stringContaining("lbid")]);
    expect((await write("POST", "/visitor/identify", body)).status).toBe(200);
  });
});
