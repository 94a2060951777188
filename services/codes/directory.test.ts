import { Code, ConnectError } from "@connectrpc/connect";
import jsqr from "jsqr";
import { PNG } from "pngjs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CodeStatus } from "#gen/waymark/codes/v1/codes_pb.ts";
import { TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { type Bench, openBench } from "./test-bench.ts";

let bench: Bench;
let gateway: ReturnType<Bench["internal"]>;
let me: ReturnType<Bench["caller"]>;
let turn = 0;

beforeAll(async () => {
  bench = await openBench();
  gateway = bench.internal(SYSTEM_WORKSPACE);
});
afterAll(() => bench.close());
beforeEach(() => {
  me = bench.caller(`workspace-${turn++}`);
  bench.clock.scansDown = false;
});

async function make(more: object = {}, as = me) {
  const { code } = await bench.codes.createCode({ name: "Menu", prompt: "p", ...more }, as);
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

const poster = {
  codeId: "poster_123abc",
  purpose: Purpose.AMBASSADOR,
  destination: "https://landing.example",
  parentId: "prog_123abc",
  ownerId: "user_123abc",
  name: "Library",
  metadata: { location: "campus" },
  touchParameter: "impression_id",
};

describe("ResolveShortId", () => {
  it("finds a code of any workspace", async () => {
    const { id, shortId } = await make({ destination: "https://a.example", welcomeMessage: "Hi", metadata: { a: 1 } });
    const { target } = await bench.directory.resolveShortId({ shortId }, gateway);
    expect(target).toMatchObject({
      codeId: id,
      shortId,
      workspaceId: `workspace-${turn - 1}`,
      purpose: Purpose.MARKETING,
      status: TargetStatus.ACTIVE,
      destination: "https://a.example",
      name: "Menu",
      welcomeMessage: "Hi",
      metadata: { a: 1 },
      scansTotal: 0n,
      touchParameter: "",
      test: false,
    });
  });

  it("tells that a code is paused, archived or deleted", async () => {
    const { id, shortId } = await make();
    const status = async () => (await bench.directory.resolveShortId({ shortId }, gateway)).target?.status;
    await bench.codes.updateCode({ id, status: CodeStatus.PAUSED }, me);
    expect(await status()).toBe(TargetStatus.PAUSED);
    await bench.codes.updateCode({ id, status: CodeStatus.ARCHIVED }, me);
    expect(await status()).toBe(TargetStatus.ARCHIVED);
    await bench.codes.deleteCode({ id }, me);
    expect(await status()).toBe(TargetStatus.DELETED);
  });

  it("does not know what was never printed", async () => {
    const asked = bench.directory.resolveShortId({ shortId: "nobody" }, gateway);
    expect(await refusal(asked)).toBe("NotFound: no code has the short id nobody");
  });

  it("counts scans only for rules that look at them, at most once a second", async () => {
    const routing = { rules: [{ when: { scansBelow: 100n }, destination: "https://early" }] };
    const [plain, counted] = [await make(), await make({ routing })];
    bench.counts.set(plain.id, 7n).set(counted.id, 8n);
    const total = async (shortId: string) =>
      (await bench.directory.resolveShortId({ shortId }, gateway)).target?.scansTotal;
    const calls = bench.clock.countCalls;
    expect([await total(plain.shortId), await total(counted.shortId)]).toEqual([0n, 8n]);
    bench.counts.set(counted.id, 9n);
    expect(await total(counted.shortId)).toBe(8n);
    expect(bench.clock.countCalls).toBe(calls + 1);
    bench.clock.now += 1000;
    expect(await total(counted.shortId)).toBe(9n);
    bench.clock.now += 1000;
    bench.clock.scansDown = true;
    expect(await total(counted.shortId)).toBe(9n);
  });
});

describe("GetTargets", () => {
  it("finds own codes by id and short id, each once, without deleted ones", async () => {
    const [one, two, gone] = [await make(), await make(), await make()];
    const foreign = await make({}, bench.caller("elsewhere"));
    await bench.codes.deleteCode({ id: gone.id }, me);
    const codeIds = [one.id, gone.id, foreign.id, "nobody"];
    const shortIds = [one.shortId, two.shortId, foreign.shortId, gone.shortId, "nobody"];
    const { targets } = await bench.directory.getTargets({ codeIds, shortIds }, me);
    expect(targets.map(({ codeId }) => codeId).sort()).toEqual([one.id, two.id].sort());
  });

  it("shows test codes to development keys and to Waymark itself", async () => {
    const workspace = `mixed-${turn}`;
    const dev = bench.caller(workspace, { test: true });
    const [test, real] = [await make({}, dev), await make({}, bench.caller(workspace))];
    const seen = async (as: typeof me) => {
      const { targets } = await bench.directory.getTargets({ codeIds: [test.id, real.id] }, as);
      return targets.map(({ codeId }) => codeId).sort();
    };
    expect(await seen(dev)).toEqual([test.id]);
    expect(await seen(bench.caller(workspace))).toEqual([real.id]);
    expect(await seen(bench.internal(workspace))).toEqual([test.id, real.id].sort());
  });
});

describe("CreateTarget", () => {
  it("makes the code of a poster, which is no marketing code", async () => {
    const { target, scanUrl, qrImageUrl } = await bench.directory.createTarget({ target: poster }, me);
    const shortId = target?.shortId as string;
    expect([scanUrl, qrImageUrl]).toEqual([
      `https://qr.example.com/s/${shortId}`,
      `https://qr.example.com/qr/${shortId}.png`,
    ]);
    expect(target).toMatchObject({ ...poster, status: TargetStatus.ACTIVE });
    expect((await bench.directory.resolveShortId({ shortId }, gateway)).target).toEqual(target);
    expect((await bench.codes.listCodes({}, me)).total).toBe(0);
    expect((await bench.links.listLinks({}, me)).totalCount).toBe(0n);
    expect(await refusal(bench.codes.getCode({ id: poster.codeId }, me))).toMatch(/^NotFound/);
    expect(await refusal(bench.codes.deleteCode({ id: poster.codeId }, me))).toMatch(/^NotFound/);
  });

  it("gives the same code for the same id, also to two at once", async () => {
    const call = () => bench.directory.createTarget({ target: poster }, me);
    const [one, two] = await Promise.all([call(), call()]);
    expect(two).toEqual(one);
    expect(await call()).toEqual(one);
  });

  it.each<[string, object, RegExp]>([
    ["a marketing code", { purpose: Purpose.MARKETING }, /^InvalidArgument: target.purpose/],
    ["no id", { codeId: "" }, /^InvalidArgument: target.code_id/],
    ["a wrong destination", { destination: "x" }, /^InvalidArgument: target.destination/],
  ])("refuses %s", async (_case, wrong, message) => {
    expect(await refusal(bench.directory.createTarget({ target: { ...poster, ...wrong } }, me))).toMatch(message);
  });

  it("refuses the id of a code of another purpose", async () => {
    const { id } = await make();
    const asked = bench.directory.createTarget({ target: { ...poster, codeId: id } }, me);
    expect(await refusal(asked)).toMatch(/^AlreadyExists: target.code_id is taken/);
  });
});

it("leads all posters of a program elsewhere and tells so", async () => {
  for (const codeId of ["a", "b"]) await bench.directory.createTarget({ target: { ...poster, codeId } }, me);
  await bench.directory.createTarget({ target: { ...poster, codeId: "c", parentId: "other" } }, me);
  const request = { parentId: poster.parentId, destination: "https://moved.example" };
  expect((await bench.directory.updateTargets(request, me)).updated).toBe(2);
  const { targets } = await bench.directory.getTargets({ codeIds: ["a", "b", "c"] }, me);
  const destinations = Object.fromEntries(targets.map(({ codeId, destination }) => [codeId, destination]));
  expect(destinations).toEqual({ a: "https://moved.example", b: "https://moved.example", c: poster.destination });
  expect(
    (await bench.changes())
      .slice(-2)
      .map(({ objectId, change }) => [objectId, change])
      .sort(),
  ).toEqual([
    ["a", "updated"],
    ["b", "updated"],
  ]);
  expect((await bench.directory.updateTargets(request, me)).updated).toBe(0);
});

describe("DrawCode", () => {
  it("draws what the code's address is", async () => {
    const { shortId, scanUrl } = await make();
    const picture = await bench.directory.drawCode({ shortId, format: "png", size: 256 }, gateway);
    expect(picture.contentType).toBe("image/png");
    const png = PNG.sync.read(picture.data);
    expect(jsqr.default(new Uint8ClampedArray(png.data), png.width, png.height)?.data).toBe(scanUrl);
    const again = await bench.directory.drawCode({ shortId, format: "png", size: 256 }, gateway);
    expect(again.etag).toBe(picture.etag);
    const svg = await bench.directory.drawCode({ shortId, format: "svg" }, gateway);
    expect(svg.contentType).toBe("image/svg+xml");
    expect(svg.etag).not.toBe(picture.etag);
  });

  it("draws nothing for codes that are not there", async () => {
    const { id, shortId } = await make();
    await bench.codes.deleteCode({ id }, me);
    for (const missing of [shortId, "nobody"]) {
      const asked = bench.directory.drawCode({ shortId: missing, format: "png" }, gateway);
      expect(await refusal(asked)).toBe(`NotFound: no code has the short id ${missing}`);
    }
  });

  it("names the wrong field", async () => {
    const { shortId } = await make();
    expect(await refusal(bench.directory.drawCode({ shortId, format: "png", size: 5000 }, gateway))).toMatch(
      /^InvalidArgument: size/,
    );
  });
});
