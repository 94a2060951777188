import type { Log } from "#runtime/log.ts";
import { followNews, type News } from "#runtime/news.ts";
import type { PrivacySettings } from "./settings.ts";
import type { Targets } from "./targets.ts";

/** What is told about changes. */
export interface Listeners {
  targets: Pick<Targets, "changed" | "forgetAll">;
  settings: Pick<PrivacySettings, "changed" | "forgetAll">;
}

/** Has what intake remembers of codes and settings forgotten as they change. */
export function followChanges(log: Pick<Log, "read" | "head">, { targets, settings }: Listeners): News {
  return followNews({
    log,
    subjects: ["codes.changed", "workspaces.changed"],
    onChange: (subject, change) => (subject === "codes.changed" ? targets : settings).changed(change),
    onGap: () => {
      targets.forgetAll();
      settings.forgetAll();
    },
  });
}
