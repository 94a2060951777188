import { LRUCache } from "lru-cache";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import type { ObjectChanged } from "#gen/waymark/events/v1/touches_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import { followNews, type News } from "#runtime/news.ts";
import type { ServiceDeps } from "#runtime/service.ts";

/** What a workspace has set that answers depend on. */
export interface WorkspaceSettings {
  /** IANA time zone of its days, where the question names none. */
  timezone: string;
  /** How many days it keeps events; 0: for good. */
  scansDays: number;
}

/** Settings by workspace. */
export type SettingsOf = (workspace: string) => Promise<WorkspaceSettings>;

/** Settings that are remembered, and asked for again when they change. */
export interface Settings {
  of: SettingsOf;
  /** Forgets settings as they change, from now on until stopped. */
  follow: (log: Pick<ServiceDeps["log"], "read" | "head">) => News;
}

/** What is known is asked again after so long, should the news of its change be lost. */
const FRESH_MS = 10_000;
const DEADLINE_MS = 2_000;

/** Asks `access` for settings, and remembers them for ten seconds at the most. */
export function openSettings({ client }: Pick<ServiceDeps, "client">): Settings {
  const known = new LRUCache<string, Promise<WorkspaceSettings>>({ max: 10_000, ttl: FRESH_MS });
  const ask = async (workspace: string): Promise<WorkspaceSettings> => {
    const options = { ...as(internalContext(workspace)), timeoutMs: DEADLINE_MS };
    const { workspace: found } = await client(WorkspaceService).getWorkspace({}, options);
    return { timezone: found?.timezone || "UTC", scansDays: found?.retention?.scansDays ?? 0 };
  };
  const of: SettingsOf = (workspace) => {
    const found = known.get(workspace);
    if (found !== undefined) return found;
    const asked = ask(workspace);
    known.set(workspace, asked);
    asked.catch(() => known.delete(workspace));
    return asked;
  };
  // A question that is under way is forgotten too: its answer may be older than the change.
  const onChange = ({ workspaceId }: ObjectChanged) => void known.delete(workspaceId);
  const news = { subjects: ["workspaces.changed"], onGap: () => known.clear() } as const;
  return {
    of,
    follow: (log) => followNews({ ...news, log, onChange: (_subject, change) => onChange(change) }),
  };
}
