import { RevisionService, RevisionStatus } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import type { AnalyticsGround } from "../test-ground.ts";
import { type Bots, type Identity, RANGE, reach } from "./test-rerun.ts";

/** What is asked beside the rules about programs. */
interface Given {
  workspace: string;
  test?: boolean;
  linkId?: string;
  range?: object;
  identity?: Identity | undefined;
}

/** For tests: makes and applies revisions, and reads what the table says. `ground`: asked at each call. */
export function openRevising(ground: () => AnalyticsGround) {
  const api = () => ground().client(RevisionService);
  return {
    async made(rules: Bots, given: Given) {
      const { workspace, test = false, linkId = "", range = RANGE, identity } = given;
      const by = ground().by({ workspace, test });
      const { revision } = await api().createRevision({ ...range, linkId, rules: { bots: rules, identity } }, by);
      return reach(ground(), { id: revision?.id ?? "", state: RevisionStatus.READY, by });
    },

    async applied(id: string, workspace: string, test = false) {
      const by = ground().by({ workspace, test });
      await api().applyRevision({ id }, by);
      const revision = await reach(ground(), { id, state: RevisionStatus.APPLIED, by });
      await ground().settle();
      return revision;
    },

    /** What the table says of a workspace: events that count, and whose each is. */
    async numbers(workspace: string, test = false) {
      const by = ground().by({ workspace, test });
      const { totalEvents } = await ground().api.getEventMetrics({}, by);
      const { json } = await ground().api.listEvents({ pageSize: 1_000 }, by);
      return { totalEvents, ids: (json?.events ?? []).map(({ id, visitorId }) => [id, visitorId]).toSorted() };
    },
  };
}
