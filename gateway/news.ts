import type { Log } from "#runtime/log.ts";
import { followNews, type News } from "#runtime/news.ts";
import type { Gateway } from "./server.ts";

/**
 * Has a gateway drop what it keeps of codes and keys as they change. It begins before the gateway, which asks it whether
 * the news are fresh, and is told of the gateway by `tell`.
 */
export interface GatewayNews extends News {
  tell: (gateway: Pick<Gateway, "codesChanged" | "keysChanged" | "changesMissed">) => void;
}

/** Follows the log. `isUp` says whether the connection to it stands. */
export function followGatewayNews(options: { log: Pick<Log, "read" | "head">; isUp?: () => boolean }): GatewayNews {
  let told: Parameters<GatewayNews["tell"]>[0] | undefined;
  const news = followNews({
    ...options,
    subjects: ["codes.changed", "keys.changed"],
    onChange: (subject, change) => {
      if (subject === "codes.changed") told?.codesChanged(change);
      else told?.keysChanged(change);
    },
    onGap: () => told?.changesMissed(),
  });
  return {
    ...news,
    tell: (gateway) => {
      told = gateway;
      gateway.changesMissed();
    },
  };
}
