import { timestampMs } from "@bufbuild/protobuf/wkt";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { type RegisteredTouch, RegistryService, type TouchCursor } from "#gen/waymark/scans/v1/registry_pb.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { Duck } from "../engine/duck.ts";
import type { ChangeDeps } from "./changes.ts";
import { type Arrived, TYPES, toColumns } from "./columns.ts";
import { readForgotten } from "./forgotten.ts";
import { linksAsOf } from "./links.ts";

const PAGE_TOUCHES = 2_000;
const PAGE_WORKSPACES = 200;
const DEADLINE_MS = 30_000;

/** What is made anew of one workspace beside its events and links. `position`: as of when. */
export type Restorer = (
  workspace: string,
  position: number,
  deps: ChangeDeps,
) => Promise<(duck: Duck) => Promise<void>>;

/** What a restoration works with. */
export interface Restoring extends ChangeDeps {
  duck: Duck;
  restorers: readonly Restorer[];
  /** Told after each page: how many touches are in the table. */
  onProgress: (touches: number) => void;
}

const TABLES = ["events", "identities", "visitors", "gone_visitors", "attributes", "links", "tombstones"] as const;

/**
 * Makes the tables anew from what other services keep, where the log has let go of what they were made from: touches from
 * the documents of `scans`, as they are judged now, links from `codes`, visitors from the store. Resolves with the position
 * of the log up to which that is complete; the feed goes on there. What it leaves when it is broken off is made anew the
 * next time, since the watermark is moved last.
 */
export async function restore(restoring: Restoring): Promise<number> {
  const { duck, restorers, client, signal } = restoring;
  await duck.write(async ({ run }) => {
    for (const table of TABLES) await run(`DELETE FROM ${table}`);
    await run("UPDATE watermark SET position = 0, complete = false");
  });
  const system = { ...as(internalContext(SYSTEM_WORKSPACE)), signal, timeoutMs: DEADLINE_MS };
  const { completeTo } = await client(RegistryService).listCounted({ touches: [] }, system);
  const position = Number(completeTo);
  let touches = 0;
  for await (const workspace of workspacesOf(restoring)) {
    const links = new Set<string>();
    const isForgotten = await readForgotten(workspace, restoring);
    for await (const told of touchesOf(restoring, { workspace, position })) {
      const events = told.filter((event) => !isForgotten(event));
      for (const { touch } of events) links.add(touch.codeId);
      const slice = (begin: number, end: number) => toColumns(events.slice(begin, end));
      if (events.length > 0)
        await duck.write(({ append }) => append("events", { types: TYPES, length: events.length, slice }));
      touches += events.length;
      restoring.onProgress(touches);
    }
    await duck.write(await linksAsOf({ workspace, codeIds: [...links], position }, restoring));
    for (const restorer of restorers) await (await restorer(workspace, position, restoring))(duck);
  }
  await duck.write(({ run }) => run("UPDATE watermark SET position = $position", { position: completeTo }));
  return position;
}

async function* workspacesOf({ client, signal }: Restoring): AsyncGenerator<string> {
  const operator = { ...as(internalContext("default")), signal, timeoutMs: DEADLINE_MS };
  let pageToken = "";
  do {
    const page = await client(WorkspaceService).listWorkspaces({ pageSize: PAGE_WORKSPACES, pageToken }, operator);
    for (const { id } of page.workspaces) yield id;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** Pages of touches up to a position. A touch that comes twice at the border of two pages is told once. */
async function* touchesOf(
  { client, signal }: Restoring,
  { workspace, position }: { workspace: string; position: number },
): AsyncGenerator<Arrived[]> {
  const options = { ...as(internalContext(workspace)), signal, timeoutMs: DEADLINE_MS };
  let after: TouchCursor | undefined;
  let before = new Set<string>();
  do {
    const page = await client(RegistryService).listTouches({ after, limit: PAGE_TOUCHES }, options);
    const events: Arrived[] = [];
    for (const one of page.touches) {
      const event = arrivedOf(one);
      if (event !== undefined && event.position <= position && !before.has(event.touch.id)) events.push(event);
    }
    if (events.length > 0) yield events;
    before = new Set(page.touches.map(({ touch }) => touch?.id ?? ""));
    after = page.next;
  } while (after !== undefined);
}

function arrivedOf(registered: RegisteredTouch): Arrived | undefined {
  const { touch, position, recordedAt, changed, revisedAt, rules, formerDevices } = registered;
  if (touch === undefined) return undefined;
  return {
    touch,
    position: Number(position),
    recordedAt: recordedAt === undefined ? 0 : timestampMs(recordedAt),
    changed: Math.max(Number(changed), Number(position)),
    revision: revisedAt && { at: timestampMs(revisedAt), rules },
    formerDevices: formerDevices.map(({ deviceId, until }) => ({ deviceId, until: Number(until) })),
  };
}
