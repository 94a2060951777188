import { fromJson, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { ListValueSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CreateCodeRequestSchema } from "#gen/waymark/codes/v1/codes_pb.ts";
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

const _value = (json: JsonValue) => fromJson(ValueSchema, json);
const _list = (json: JsonValue) => fromJson(ListValueSchema, json);
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

describe("DeleteCode", () => {
  it("hides the code and keeps its ids", async () => {
    const { id, shortId } = await make();
    await bench.codes.deleteCode({ id }, me);
    const gone = `NotFound: code ${id} does not exist`;
    expect(await refusal(bench.codes.getCode({ id }, me))).toBe(gone);
    expect(await refusal(bench.codes.updateCode({ id, name: "x" }, me))).toBe(gone);
    expect(await refusal(bench.codes.deleteCode({ id }, me))).toBe(gone);
    expect(await refusal(bench.codes.routeCode({ id }, me))).toBe(gone);
    expect((await bench.codes.listCodes({}, me)).total).toBe(0);
    expect(await refusal(make({ shortId }))).toMatch(/^AlreadyExists/);
    expect(await refusal(make({ id }))).toMatch(/^AlreadyExists/);
    expect((await bench.changes()).at(-1)).toMatchObject({ objectId: id, change: "deleted" });
  });
});

it("shows nothing of another workspace, and test codes to development keys only", async () => {
  const { id } = await make();
  expect(await refusal(bench.codes.getCode({ id }, bench.caller("elsewhere")))).toMatch(/^NotFound/);
  const workspace = `mixed-${turn}`;
  const [live, dev] = [bench.caller(workspace), bench.caller(workspace, { keyClass: "development", test: true })];
  const [real, test] = [await make({}, live), await make({}, dev)];
  for (const [caller, own, other] of [
    [live, real, test],
    [dev, test, real],
  ] as const) {
    expect((await bench.codes.listCodes({}, caller)).qprCodes.map((code) => code.id)).toEqual([own.id]);
    expect(await refusal(bench.codes.deleteCode({ id: other.id }, caller))).toMatch(/^NotFound/);
    expect(await refusal(bench.codes.updateCode({ id: other.id, name: "x" }, caller))).toMatch(/^NotFound/);
  }
});

describe("RouteCode", () => {
  it("tells rule and destination and records nothing", async () => {
    const rules = [
      { name: "early", when: { scansBelow: 100n }, destination: "https://early" },
      { when: { country: ["DE"], device: ["mobile"] }, destination: "https://de" },
    ];
    const { id } = await make({ destination: "https://home", routing: { rules } as never });
    const ask = async (facts: object) => {
      const { rule, destination } = await bench.codes.routeCode({ id, ...facts }, me);
      return [rule && toJson(ValueSchema, rule), destination];
    };
    const before = (await bench.changes()).length;
    expect(await ask({})).toEqual(["early", "https://early"]);
    bench.counts.set(id, 100n);
    expect(await ask({ country: "de", device: "mobile" })).toEqual([1, "https://de"]);
    expect(await ask({ country: "DE" })).toEqual([null, "https://home"]);
    expect(await bench.changes()).toHaveLength(before);
  });

  it("leads nowhere without a destination", async () => {
    const { id } = await make();
    expect((await bench.codes.routeCode({ id }, me)).destination).toBeUndefined();
  });

  it("refuses a device that does not exist", async () => {
    const { id } = await make();
    expect(await refusal(bench.codes.routeCode({ id, device: "fridge" }, me))).toMatch(/^InvalidArgument: device /);
  });
});
