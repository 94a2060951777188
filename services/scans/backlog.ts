import type { Config } from "#runtime/config.ts";
import type { Store } from "#runtime/store.ts";
import { scansProjection } from "./project.ts";

/** Touches that may be on the log and not yet counted before new ones have to wait: half a second of counting. */
const MOST = 10_000;

/** The longest that a request waits for counting. After that it is taken all the same: the log has room, and keeps it. */
const PATIENCE_MS = 1_000;
const POLL_MS = 5;

/** How far counting is behind intake, and the brake that keeps it near. */
export interface Backlog {
  /** Notes touches that stand on the log up to this position. */
  note: (touches: number, position: number) => void;
  /** Resolves when counting is near enough, or when patience is at its end; undefined when there is no need to wait. */
  room: () => Promise<void> | undefined;
  /** Touches that this process has appended and that were not counted when it last looked. */
  depth: () => number;
}

/** What a backlog stands on. */
export interface BacklogDeps {
  store: Pick<Store, "watermark">;
  config: Pick<Config, "mongodbUrl">;
}

/** Over servers, replicas take in more than one projection counts in a burst; the log is there to keep it, and nobody waits. */
const NO_BRAKE: Backlog = { note: () => undefined, room: () => undefined, depth: () => 0 };

/**
 * Lets intake run no further ahead of counting than a moment, so that numbers are never old under load: a client that
 * sends faster than can be counted is answered at the pace of counting. Nothing is shed for that. The brake is there when
 * documents are kept in this process, where counting takes from the same processor.
 */
export function openBacklog({ store, config }: BacklogDeps): Backlog {
  if (config.mongodbUrl !== undefined) return NO_BRAKE;
  let appended: { touches: number; position: number }[] = [];
  let depth = 0;
  let looking: Promise<void> | undefined;

  const look = async (): Promise<void> => {
    const until = performance.now() + PATIENCE_MS;
    while (depth > MOST && performance.now() < until) {
      const counted = await store.watermark(scansProjection.name);
      appended = appended.filter(({ position }) => position > counted);
      depth = appended.reduce((sum, { touches }) => sum + touches, 0);
      if (depth > MOST) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    looking = undefined;
  };

  return {
    note: (touches, position) => {
      appended.push({ touches, position });
      depth += touches;
    },
    room: () => {
      if (depth <= MOST) return undefined;
      looking ??= look();
      return looking;
    },
    depth: () => depth,
  };
}
