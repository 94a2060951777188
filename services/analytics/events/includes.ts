import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import type { EventLinkSchema } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Asking } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { leadScoresOf } from "../scoring/includes.ts";
import { readPeople, seesPeople } from "../visitors/people.ts";
import { countLinks, readDevices, readLatest, readLinks } from "../visitors/visitors.ts";
import { distinct, readFirsts } from "./events.ts";
import { timeOf, toDevice, toEvent, toVisitor, toVisitorEvent } from "./messages.ts";

/** What the answers need of the world around. */
export interface Surroundings {
  client: ServiceDeps["client"];
  publicUrl: string;
  handler: HandlerContext;
  store: ServiceDeps["store"];
}

type LinkInit = MessageInitShape<typeof EventLinkSchema>;

/** Rows of events with their visit types and with what was asked to be included. */
export async function withIncludes(
  around: Surroundings,
  asking: Asking,
  { rows, include }: { rows: readonly Row[]; include: ReadonlySet<string> },
) {
  const [firsts, people, links, workspace, scores] = await Promise.all([
    readFirsts(asking, rows),
    include.has("visitor") && seesPeople(contextOf(around.handler).principal) ? readPeople(asking, rows) : undefined,
    include.has("link") ? linksOf(around, distinct(rows, "link_id")) : undefined,
    include.has("workspace") && rows.length > 0 ? workspaceOf(around) : undefined,
    include.has("leadScore") ? leadScoresOf(around, asking, rows) : undefined,
  ]);
  return rows.map((row) => {
    const event = toEvent(row, { firsts, publicUrl: around.publicUrl });
    const { visitorId } = event;
    return {
      ...event,
      device: include.has("device") && visitorId !== undefined ? toDevice(row) : undefined,
      visitor:
        include.has("visitor") && visitorId !== undefined ? (people?.get(visitorId) ?? { id: visitorId }) : undefined,
      link: links?.get(String(row.link_id)),
      workspace,
      ...scores?.(row),
    };
  });
}

async function workspaceOf({ client, handler }: Surroundings) {
  const { workspace } = await client(WorkspaceService).getWorkspace({}, forward(handler));
  return { id: workspace?.id ?? "", name: workspace?.name ?? "" };
}

/** So many links are asked for at once. */
const LINKS_AT_ONCE = 1_000;

/** Links by id. One that was deleted keeps the id, so that its events still say where they belong. */
async function linksOf(around: Surroundings, codeIds: readonly string[]): Promise<Map<string, LinkInit>> {
  const links = new Map<string, LinkInit>();
  for (const id of codeIds) links.set(id, { id, name: "", shortlink: "", entrypoint: "" });
  for (let first = 0; first < codeIds.length; first += LINKS_AT_ONCE) {
    const some = { codeIds: codeIds.slice(first, first + LINKS_AT_ONCE) };
    const { targets } = await around.client(DirectoryService).getTargets(some, forward(around.handler));
    for (const { codeId: id, name, shortId: shortlink, destination } of targets) {
      const entrypoint = shortlink === "" ? "" : `${around.publicUrl}/s/${shortlink}`;
      links.set(id, { id, name, shortlink, entrypoint, destination: destination || undefined });
    }
  }
  return links;
}

/** Rows of visitors with their counts of links and with what was asked to be included. */
export async function visitorsWithIncludes(
  around: Surroundings,
  asking: Asking,
  { rows, include }: { rows: readonly Row[]; include: ReadonlySet<string> },
) {
  const keys = rows.map((row) => BigInt(String(row.visitor_key)));
  const [met, latest, seen] = await Promise.all([
    include.has("links") ? readLinks(asking, keys) : countLinks(asking, keys),
    include.has("events") ? readLatest(asking, keys) : [],
    include.has("devices") ? readDevices(asking, keys) : [],
  ]);
  const links = include.has("links") ? await linksOf(around, distinct(met, "link_id")) : undefined;
  const firsts = await readFirsts(asking, latest);
  const of = { met: byVisitor(met), latest: byVisitor(latest), seen: byVisitor(seen) };
  return rows.map((row) => {
    const visitor = String(row.visitor_key);
    const mine = of.met.get(visitor) ?? [];
    return {
      ...toVisitor(row, Number(mine[0]?.links ?? 0)),
      devices: (of.seen.get(visitor) ?? []).map(toDevice),
      events: (of.latest.get(visitor) ?? []).map((event) => toVisitorEvent(event, firsts)),
      links: links === undefined ? [] : mine.map((link) => toVisitedLink(link, links.get(String(link.link_id)))),
    };
  });
}

function byVisitor(rows: readonly Row[]): Map<string, Row[]> {
  return Map.groupBy(rows, (row) => String(row.visitor_key));
}

function toVisitedLink(row: Row, link: LinkInit | undefined): LinkInit {
  return {
    ...link,
    eventCount: BigInt(Number(row.visits)),
    firstVisitedAt: timeOf(row.first_at),
    lastVisitedAt: timeOf(row.last_at),
  };
}
