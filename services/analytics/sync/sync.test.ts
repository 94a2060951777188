import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type SyncChange, SyncKind, SyncOp, SyncService } from "#gen/waymark/analytics/v1/sync_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { type AnalyticsGround, openAnalyticsGround } from "../test-ground.ts";
import { entriesOf, history } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

let run = 0;

it("who follows the cursor through late touches, repetitions, merged and forgotten visitors has what the list has", async () => {
  const histories = fc.nat().chain(() => {
    run += 1;
    return fc.record({
      steps: history([`sync${run}`]),
      workspace: fc.constant(`sync${run}`),
      limit: fc.constantFrom(1, 3, 1000),
    });
  });
  const property = fc.asyncProperty(histories, async ({ steps, workspace, limit }) => {
    const by = ground.by({ workspace });
    const copy = new Map<string, string | undefined>();
    const known = new Map<string, string | undefined>();
    const take = ({ kind, op, id, data }: SyncChange): void => {
      const own = kind === SyncKind.EVENT ? copy : known;
      if (op === SyncOp.DELETE) own.delete(id);
      else if (data.case === "event") own.set(id, data.value.visitorId);
      else own.set(id, data.value?.email);
    };
    let cursor = "";
    const follow = async (): Promise<void> => {
      for (let hasMore = true; hasMore; ) {
        const page = await ground.client(SyncService).sync({ cursor, limit }, by);
        for (const change of page.changes) take(change);
        ({ cursor, hasMore } = page);
      }
    };
    const people = ground.client(VisitorService);
    for (const [index, step] of steps.entries()) {
      for (const touches of entriesOf(step)) await ground.append(touches);
      await ground.settle();
      await follow();
      const theirs = [...copy].filter(([, visitor]) => visitor !== undefined);
      const [id, visitorId] = theirs[index % Math.max(1, theirs.length)] ?? [];
      if (id === undefined || visitorId === undefined) continue;
      const data = { $email: `${index % 2}@example.com` };
      const lbid = Buffer.from(id).toString("base64url");
      if (index % 3 === 2) await people.deleteVisitor({ id: visitorId }, by);
      else await people.identifyVisitor({ lbid, visitor: { data } }, by);
    }
    await follow();
    const { json } = await ground.api.listEvents({ pageSize: 1000 }, by);
    expect([...copy].sort()).toEqual((json?.events ?? []).map(({ id, visitorId }) => [id, visitorId]).sort());
    const listed = await ground.api.listVisitors({ pageSize: 200 }, by);
    const named = (listed.json?.visitors ?? []).filter(({ email }) => email !== undefined);
    expect([...known].sort()).toEqual(named.map(({ id, email }) => [id, email]).sort());
  });
  await fc.assert(property, { numRuns: 5, endOnFailure: true, interruptAfterTimeLimit: 25_000 });
});
