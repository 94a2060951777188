import { LRUCache } from "lru-cache";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
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

/** What is known is asked again after so long. */
const FRESH_MS = 10_000;
const DEADLINE_MS = 2_000;

/** Asks `access` for settings, and remembers them for ten seconds. */
export function openSettings({ client }: Pick<ServiceDeps, "client">): SettingsOf {
  const known = new LRUCache<string, Promise<WorkspaceSettings>>({ max: 10_000, ttl: FRESH_MS });
  const ask = async (workspace: string): Promise<WorkspaceSettings> => {
    const options = { ...as(internalContext(workspace)), timeoutMs: DEADLINE_MS };
    const { workspace: found } = await client(WorkspaceService).getWorkspace({}, options);
    return { timezone: found?.timezone || "UTC", scansDays: found?.retention?.scansDays ?? 0 };
  };
  return (workspace) => {
    const found = known.get(workspace);
    if (found !== undefined) return found;
    const asked = ask(workspace);
    known.set(workspace, asked);
    asked.catch(() => known.delete(workspace));
    return asked;
  };
}
