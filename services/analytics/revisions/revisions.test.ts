import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RevisionService } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { partModel } from "./model.ts";
import { tasksOf } from "./tasks.ts";
import { bots, differenceByHand, differenceOf, identities, RANGE, rerun, touches } from "./test-rerun.ts";
import { openRevising } from "./test-revising.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());
afterEach(() => {
  ground.clock.now = NOW;
});

const api = () => ground.client(RevisionService);
const { made, applied, numbers } = openRevising(() => ground);

/** The same person says of the first devices that count that they are hers: which they are, and who she is. */
async function identified(all: readonly Touch[], given: { workspace: string; test: boolean; names: number }) {
  const by = ground.by(given);
  const events = new Map(
    all.filter(({ verdictReason }) => verdictReason === "").map(({ id, deviceId }) => [deviceId, id]),
  );
  events.delete("");
  const some = [...events].slice(0, given.names);
  let visitorId = "";
  for (const [, id] of some) {
    const lbid = Buffer.from(id).toString("base64url");
    const said = { lbid, visitor: { data: { $email: "ann@example.com" } } };
    visitorId = (await ground.client(VisitorService).identifyVisitor(said, by)).visitor?.id ?? "";
  }
  return { known: new Set(some.map(([device]) => device)), visitorId };
}

/** The first touch of each id, of one world. */
function firsts(all: readonly Touch[], test: boolean): Touch[] {
  const known = new Map<string, Touch>();
  for (const one of all) if (!known.has(one.id)) known.set(one.id, one);
  return [...known.values()].filter((one) => one.test === test);
}

describe("a revision", () => {
  it("shows what other rules change, changes nothing, and then exactly that", async () => {
    let run = 0;
    const where = fc.record({ test: fc.boolean(), linkId: fc.constantFrom("", "", "link_1") });
    const property = fc.asyncProperty(
      ...([touches("w"), bots, identities, where, fc.integer({ min: 0, max: 2 })] as const),
      async (all, rules, identity, { test, linkId }, names) => {
        run += 1;
        const workspace = `w${run}`;
        const written = all.map((one) => ({ ...one, workspaceId: workspace }));
        await ground.append(written);
        await ground.settle();
        const own = firsts(written, test);
        const { known, visitorId } = await identified(own, { workspace, test, names });
        const asked = { workspace, test, linkId, identity };
        const isMeant = ({ codeId }: Touch) => linkId === "" || codeId === linkId;
        const found = rerun(own.filter(isMeant), rules, { identity, known });
        const before = await numbers(workspace, test);
        const revision = await made(rules, asked);
        expect(differenceOf(revision)).toEqual(differenceByHand(found, known));
        expect(await numbers(workspace, test)).toEqual(before);
        const later = touchOf({ id: "later", workspaceId: workspace, test, userAgent: "Robot/4" });
        await ground.append([later]);
        const after = await applied(revision.id, workspace, test);
        expect(after.applied).toBe(revision.difference?.changed);
        const goes = new Map(found.map((one) => [one.touch.id, one]));
        const now = [...own, later].map((one) => {
          const { to = one.verdictReason, device = one.deviceId } = goes.get(one.id) ?? {};
          return { ...one, verdictReason: to, deviceId: device };
        });
        const people = now.filter(({ verdictReason }) => verdictReason === "");
        const nameOf = (device: string) => (known.has(device) ? visitorId : `vis_${device}`);
        expect(await numbers(workspace, test)).toEqual({
          totalEvents: people.length,
          ids: people.map(({ id, deviceId }) => [id, deviceId === "" ? undefined : nameOf(deviceId)]).toSorted(),
        });
        const again = await made(rules, asked);
        const expected = rerun(now.filter(isMeant), rules, { identity, known });
        expect(differenceOf(again)).toEqual(differenceByHand(expected, known));
      },
    );
    await fc.assert(property, { numRuns: 16 });
  }, 120_000);

  it("reads the device again where the rules judge by the user agent, and keeps it where they do not", async () => {
    const device = { browser: "Old", language: "de" };
    const wrong = { deviceId: "d1", verdict: Verdict.BOT, verdictReason: "isbot", device, workspaceId: "devices" };
    await ground.append([
      touchOf({ ...wrong, id: "a", userAgent: "Safari/1" }),
      touchOf({ ...wrong, id: "b", verdict: Verdict.HUMAN, verdictReason: "", userAgent: "Robot/1" }),
      touchOf({ ...wrong, id: "c", verdict: Verdict.HUMAN, verdictReason: "", userAgent: "Chrome/1" }),
      touchOf({ ...wrong, id: "d" }),
    ]);
    await ground.settle();
    const rules = { builtIn: true, userAgentContains: ["chrome"] };
    const revision = await made(rules, { workspace: "devices" });
    expect(revision.rulesVersion).toBe(`7+${revision.id}`);
    expect(revision.difference).toMatchObject({ changed: 3n, unjudged: 1n, considered: 4n });
    const sample = revision.difference?.sample.map(({ eventId, fromReason, toReason, actor, userAgent }) =>
      [eventId, fromReason, toReason, actor, userAgent].join("|"),
    );
    expect(sample?.toSorted()).toEqual(["a|isbot|||Safari/1", "b||isbot|Robot|Robot/1", "c||agent|chrome|Chrome/1"]);
    await applied(revision.id, "devices");
    const by = ground.by({ workspace: "devices" });
    const { json } = await ground.api.listEvents({ include: ["device"] }, by);
    expect(json?.events.map(({ id, device: shown }) => [id, shown?.browserName])).toEqual([["a", "Safari"]]);
  });

  it("is applied only when it is ready, once, and not after another has changed the same", async () => {
    await ground.append([touchOf({ id: "a", workspaceId: "once", userAgent: "Safari/1" })]);
    await ground.settle();
    const rules = { userAgentContains: ["safari"] };
    const [one, other] = [await made(rules, { workspace: "once" }), await made(rules, { workspace: "once" })];
    const elsewhere = await made(rules, {
      ...{
        workspace: "once",
        range: { ...RANGE, endDate: timestampFromMs(NOW - 8_640_000_000), startDate: timestampFromMs(0) },
      },
    });
    await applied(one.id, "once");
    const by = ground.by({ workspace: "once" });
    const refused = async (id: string) => {
      const error: ConnectError = await api()
        .applyRevision({ id }, by)
        .then(
          () => expect.fail("it was applied"),
          (cause) => cause,
        );
      expect(error.code).toBe(Code.Aborted);
      return reasonOf(error)?.reason;
    };
    expect([await refused(one.id), await refused(other.id)]).toEqual(["REVISION_NOT_READY", "REVISION_STALE"]);
    await expect(api().deleteRevision({ id: one.id }, by)).rejects.toThrow("cannot be discarded");
    await applied(elsewhere.id, "once");
    const fresh = await made({ builtIn: true }, { workspace: "once" });
    expect(fresh.difference).toMatchObject({ changed: 1n, moves: [{ fromReason: "agent", toReason: "" }] });
    await applied(fresh.id, "once");
    expect((await numbers("once")).ids).toEqual([["a", undefined]]);
  });

  it("that is discarded is gone with its decisions, whatever its state", async () => {
    await ground.append([touchOf({ id: "a", workspaceId: "gone", userAgent: "Safari/1" })]);
    await ground.settle();
    const ready = await made({ userAgentContains: ["safari"] }, { workspace: "gone" });
    const by = ground.by({ workspace: "gone" });
    const { revision: queued } = await api().createRevision({ ...RANGE, rules: { bots: { builtIn: true } } }, by);
    const parts = ground.store.collection(partModel).of("gone");
    expect(await parts.count()).toBe(1);
    for (const id of [ready.id, queued?.id ?? ""]) {
      await api().deleteRevision({ id }, by);
      await expect(api().getRevision({ id }, by)).rejects.toThrow(`there is no revision ${id}`);
    }
    expect((await api().listRevisions({}, by)).revisions).toEqual([]);
    await until(async () => (await parts.count()) === 0 && (await tasksOf(ground.store).count()) === 0);
  });

  it("is of its workspace and world, and of the days that a development key sees", async () => {
    const at = NOW - 40 * 86_400_000;
    const old = { workspaceId: "world", test: true, userAgent: "Safari/1" };
    await ground.append([touchOf({ ...old, id: "old", at }), touchOf({ ...old, id: "young" })]);
    await ground.settle();
    const range = { startDate: { seconds: 0n, nanos: 0 }, endDate: RANGE.endDate };
    const revision = await made({ userAgentContains: ["safari"] }, { workspace: "world", test: true, range });
    expect(revision.difference).toMatchObject({ considered: 1n, changed: 1n });
    for (const by of [ground.by({ workspace: "world" }), ground.by({ workspace: "rival", test: true })]) {
      await expect(api().getRevision({ id: revision.id }, by)).rejects.toThrow("there is no revision");
      await expect(api().applyRevision({ id: revision.id }, by)).rejects.toThrow("there is no revision");
      await expect(api().deleteRevision({ id: revision.id }, by)).rejects.toThrow("there is no revision");
      expect((await api().listRevisions({}, by)).revisions).toEqual([]);
    }
  });

  it("is listed in short, newest first, in pages", async () => {
    for (let turn = 0; turn < 3; turn += 1) {
      ground.clock.now += 1;
      await made({ builtIn: true }, { workspace: "pages" });
    }
    const by = ground.by({ workspace: "pages" });
    const first = await api().listRevisions({ pageSize: 2 }, by);
    const second = await api().listRevisions({ pageSize: 2, pageToken: first.nextPageToken }, by);
    const times = [...first.revisions, ...second.revisions].map(({ createdAt }) => Number(createdAt?.nanos));
    expect([times.length, second.nextPageToken]).toEqual([3, ""]);
    expect(times).toEqual(times.toSorted((a, b) => b - a));
    expect(first.revisions[0]?.difference).toMatchObject({ changed: 0n, byDay: [], sample: [] });
  });

  it("without a rule, with a reversed range or one too many is refused", async () => {
    const by = ground.by({ workspace: "refused" });
    const error = await api()
      .createRevision({ ...RANGE, rules: { bots: {} } }, by)
      .catch((cause: ConnectError) => cause);
    expect(fieldOf(error as ConnectError)).toBe("rules");
    const empty = api().createRevision({ ...RANGE, rules: { identity: { ignoreVersions: false } } }, by);
    expect(fieldOf((await empty.then(String, (cause: ConnectError) => cause)) as ConnectError)).toBe("rules");
    const reversed = { startDate: RANGE.endDate, endDate: RANGE.startDate, rules: { bots: { builtIn: true } } };
    await expect(api().createRevision(reversed, by)).rejects.toThrow("must not be before");
    for (let turn = 0; turn < 20; turn += 1)
      await api().createRevision({ ...RANGE, rules: { bots: { builtIn: true } } }, by);
    await expect(api().createRevision({ ...RANGE, rules: { bots: { builtIn: true } } }, by)).rejects.toThrow(
      "20 revisions",
    );
  });
});
