import { fromJson, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { ListValueSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CodeSchema, CodeStatus, type CreateCodeRequestSchema } from "#gen/waymark/codes/v1/codes_pb.ts";
import { type Bench, openBench } from "./test-bench.ts";

type Wanted = Omit<MessageInitShape<typeof CreateCodeRequestSchema>, "$typeName">;

let bench: Bench;
let me: ReturnType<Bench["caller"]>;
let turn = 0;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());
beforeEach(() => {
  me = bench.caller(`workspace-${turn++}`);
  Object.assign(bench.clock, { scansDown: false, auditDown: false, countCalls: 0 });
});

const value = (json: JsonValue) => fromJson(ValueSchema, json);
const list = (json: JsonValue) => fromJson(ListValueSchema, json);
const basic = { name: "Hotel Room Concierge", prompt: "Help guests" };

async function make(more: Wanted = {}, as = me) {
  const { code } = await bench.codes.createCode({ ...basic, ...more }, as);
  if (code === undefined) throw new Error("no code");
  return code;
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("accepted"),
    (cause: unknown) => cause,
  );
  return error instanceof ConnectError ? `${Code[error.code]}: ${error.rawMessage}` : String(error);
}

describe("CreateCode", () => {
  it("answers with the whole object", async () => {
    const code = await make({ id: "qpr_01HXYZ789ABC", shortId: `hc9m3r-${turn}`, template: "hospitality" });
    expect(toJson(CodeSchema, code, { alwaysEmitImplicit: true })).toEqual({
      id: "qpr_01HXYZ789ABC",
      name: "Hotel Room Concierge",
      shortId: `hc9m3r-${turn}`,
      scanUrl: `https://qr.example.com/s/hc9m3r-${turn}`,
      qrImageUrl: `https://qr.example.com/qr/hc9m3r-${turn}.png`,
      qrSvgUrl: `https://qr.example.com/qr/hc9m3r-${turn}.svg`,
      template: "hospitality",
      prompt: "Help guests",
      status: "CODE_STATUS_ACTIVE",
      scansTotal: "0",
      metadata: {},
      tags: [],
      createdAt: "2026-03-20T12:00:00Z",
      updatedAt: "2026-03-20T12:00:00Z",
    });
  });

  it("makes a short id that one can type, and another one each time", async () => {
    const [one, two] = [await make(), await make()];
    expect(one.shortId).toMatch(/^[a-hjkmnp-z2-9]{6}$/);
    expect(one.id).toMatch(/^qpr_[0-9A-Z]{26}$/);
    expect(two.shortId).not.toBe(one.shortId);
  });

  it("keeps everything that was given", async () => {
    const routing = { rules: [{ name: "phones", when: { device: ["mobile"] }, destination: "https://m.example.com" }] };
    const { id } = await make({
      destination: "https://example.com/menu",
      welcomeMessage: "Hello",
      metadata: { floor: 3, open: true, names: ["a"] },
      tags: ["hotel", "hotel", "lobby"],
      routing: routing as never,
    });
    const { code } = await bench.codes.getCode({ id }, me);
    expect(code).toMatchObject({
      destination: "https://example.com/menu",
      welcomeMessage: "Hello",
      metadata: { floor: 3, open: true, names: ["a"] },
      tags: ["hotel", "lobby"],
      routing,
    });
  });

  it.each<[string, Wanted, RegExp]>([
    ["no name", { name: "" }, /^InvalidArgument: name /],
    ["no prompt", { prompt: "" }, /^InvalidArgument: prompt /],
    ["a strange template", { template: "spaceship" }, /^InvalidArgument: template must be in list/],
    ["a strange id", { id: "a b" }, /^InvalidArgument: id /],
    ["a strange short id", { shortId: "a.png" }, /^InvalidArgument: short_id /],
    [
      "a script as destination",
      { destination: "javascript:alert(1)" },
      /^InvalidArgument: destination must be an http/,
    ],
    ["a long tag", { tags: ["x".repeat(65)] }, /^InvalidArgument: tags\[0\] /],
    [
      "a rule that leads nowhere",
      { routing: { rules: [{}] } as never },
      /^InvalidArgument: routing.rules\[0\].destination /,
    ],
  ])("refuses %s", async (_case, wrong, message) => {
    expect(await refusal(make(wrong))).toMatch(message);
  });

  it("refuses an id that is taken, and a short id that any workspace has", async () => {
    const { id, shortId } = await make();
    expect(await refusal(make({ id }))).toBe(`AlreadyExists: id is taken: ${id} exists already; choose another`);
    const taken = await refusal(make({ shortId }, bench.caller("elsewhere")));
    expect(taken).toBe(`AlreadyExists: short_id is taken: another code has the short id ${shortId}; choose another`);
  });

  it("gives a refused short id back", async () => {
    const { id } = await make();
    const shortId = `free-${turn}`;
    expect(await refusal(make({ id, shortId }))).toMatch(/^AlreadyExists: id/);
    expect((await make({ shortId }, bench.caller("elsewhere"))).shortId).toBe(shortId);
  });

  it("lets one of two win who want the same short id at once", async () => {
    const shortId = `race-${turn}`;
    const outcomes = await Promise.allSettled([make({ shortId }), make({ shortId }, bench.caller("elsewhere"))]);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  it("lets one of two win who want the same id at once", async () => {
    const outcomes = await Promise.allSettled([make({ id: "same" }), make({ id: "same" })]);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect((await bench.codes.listCodes({}, me)).total).toBe(1);
  });

  it("tells the log and the audit trail before it answers", async () => {
    const { id, shortId } = await make();
    const change = (await bench.changes()).at(-1);
    expect(change).toMatchObject({ objectId: id, aliases: [shortId], change: "created" });
    expect(bench.audited).toContain(`codes.create ${id}`);
  });

  it("goes on without an audit trail", async () => {
    bench.clock.auditDown = true;
    expect((await make()).name).toBe(basic.name);
  });
});

describe("ListCodes", () => {
  async function makeSeven() {
    for (let i = 0; i < 7; i++) {
      bench.clock.now += 1000;
      await make({ name: `Code ${i}`, tags: i % 2 === 0 ? ["even"] : ["odd"] });
    }
  }
  const names = (page: { qprCodes: { name: string }[] }) => page.qprCodes.map(({ name }) => name.slice(5));

  it("shows the newest first, page by page, and counts them in one call", async () => {
    await makeSeven();
    const page = await bench.codes.listCodes({ limit: 3, offset: 3 }, me);
    expect(names(page)).toEqual(["3", "2", "1"]);
    expect(page).toMatchObject({ total: 7, limit: 3, offset: 3 });
    expect(bench.clock.countCalls).toBe(1);
    expect(await bench.codes.listCodes({}, me)).toMatchObject({ total: 7, limit: 20, offset: 0 });
  });

  it("filters by tag, status and text", async () => {
    await makeSeven();
    const { qprCodes } = await bench.codes.listCodes({}, me);
    await bench.codes.updateCode({ id: qprCodes[0]?.id, status: CodeStatus.PAUSED }, me);
    expect(names(await bench.codes.listCodes({ tag: "odd", limit: 2 }, me))).toEqual(["5", "3"]);
    expect(names(await bench.codes.listCodes({ status: CodeStatus.PAUSED }, me))).toEqual(["6"]);
    const found = await bench.codes.listCodes({ search: "CODE", tag: "even", limit: 2, offset: 1 }, me);
    expect(names(found)).toEqual(["4", "2"]);
    expect(found.total).toBe(4);
    expect(names(await bench.codes.listCodes({ search: qprCodes[3]?.shortId }, me))).toEqual(["3"]);
  });

  it.each([{ limit: 0 }, { limit: 201 }, { offset: -1 }])("refuses %j", async (wrong) => {
    expect(await refusal(bench.codes.listCodes(wrong, me))).toMatch(/^InvalidArgument: (limit|offset) must be/);
  });

  it("shows scans by code", async () => {
    const { id } = await make();
    bench.counts.set(id, 42n);
    expect((await bench.codes.listCodes({}, me)).qprCodes[0]?.scansTotal).toBe(42n);
    expect((await bench.codes.getCode({ id }, me)).code?.scansTotal).toBe(42n);
  });

  it("says so when scans cannot be counted", async () => {
    await make();
    bench.clock.scansDown = true;
    expect(await refusal(bench.codes.listCodes({}, me))).toMatch(/^(Internal|Unavailable)/);
  });
});

describe("UpdateCode", () => {
  it("changes what is given, clears what is null and leaves the rest", async () => {
    const { id, shortId } = await make({
      destination: "https://a.example",
      welcomeMessage: "Hello",
      template: "retail",
      metadata: { a: 1 },
      tags: ["x"],
    });
    bench.clock.now += 5000;
    const request = { id, name: "New", destination: value(null), template: value(null), metadata: { b: 2 } };
    const { code } = await bench.codes.updateCode(request, me);
    expect(code).toMatchObject({ name: "New", shortId, welcomeMessage: "Hello", metadata: { b: 2 }, tags: ["x"] });
    expect([code?.destination, code?.template]).toEqual([undefined, undefined]);
    expect(Number(code?.updatedAt?.seconds) - Number(code?.createdAt?.seconds)).toBe(5);
    expect((await bench.codes.getCode({ id }, me)).code).toEqual(code);
    const cleared = await bench.codes.updateCode({ id, tags: list([]), welcomeMessage: value("") }, me);
    expect(cleared.code?.tags).toEqual([]);
    expect(cleared.code?.welcomeMessage).toBeUndefined();
  });

  it("sets and clears routing", async () => {
    const { id } = await make();
    const routing = { rules: [{ when: { scans_below: 5 }, destination: "https://early.example" }] };
    const { code } = await bench.codes.updateCode({ id, routing: value(routing) }, me);
    expect(code?.routing?.rules[0]?.when?.scansBelow).toBe(5n);
    const cleared = await bench.codes.updateCode({ id, routing: value(null) }, me);
    expect(cleared.code?.routing).toBeUndefined();
  });

  it("publishes each change, and none when nothing is given", async () => {
    const { id } = await make();
    await bench.codes.updateCode({ id, status: CodeStatus.ARCHIVED }, me);
    const changes = await bench.changes();
    expect(changes.at(-1)).toMatchObject({ objectId: id, change: "updated" });
    await bench.codes.updateCode({ id }, me);
    expect(await bench.changes()).toHaveLength(changes.length);
  });

  it.each<[string, object, RegExp]>([
    ["an empty name", { name: "" }, /^InvalidArgument: name /],
    ["a wrong destination", { destination: value("ftp://x") }, /^InvalidArgument: destination must be an http/],
    ["a number as destination", { destination: value(5) }, /^InvalidArgument: destination must be a text or null/],
    [
      "wrong routing",
      { routing: value({ rules: [{ when: { hours: "9" }, destination: "https://a" }] }) },
      /routing\.rules\[0\]\.when\.hours/,
    ],
    ["wrong tags", { tags: list([1]) }, /^InvalidArgument: tags\[0\] must be a text/],
    ["no status", { status: CodeStatus.UNSPECIFIED }, /^InvalidArgument: status /],
  ])("refuses %s", async (_case, wrong, message) => {
    const { id } = await make();
    expect(await refusal(bench.codes.updateCode({ id, ...wrong }, me))).toMatch(message);
  });
});
