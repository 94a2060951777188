import { createHmac } from "node:crypto";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import type { ObjectChanged } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import manifest from "../package.json" with { type: "json" };
import { openAdmission } from "./admission.ts";
import { type Authenticator, openAuthenticator } from "./authenticate.ts";
import { openConnect } from "./connect.ts";
import { dialects } from "./dialects/table.ts";
import { type Directory, openDirectory } from "./directory.ts";
import type { Faces } from "./dispatch.ts";
import { serveDocument } from "./document.ts";
import { type Readiness, withNoticed } from "./health.ts";
import { IntakeLine } from "./intake-line.ts";
import { type Limiter, openLimiter } from "./limit.ts";
import { redirectQueue, redirectQueueBytes } from "./metrics.ts";
import { openApi } from "./openapi.ts";
import { openPages } from "./pages.ts";
import { openPictures, type Pictures } from "./pictures.ts";
import { openPositions, type Positions } from "./positions.ts";
import { TouchQueue } from "./queue/touch-queue.ts";
import { Recorder } from "./recorder.ts";
import { compileRoutes } from "./routes.ts";
import type { GatewayOptions } from "./server.ts";

/** What the gateway is to be told of the log, so that nothing that it keeps is old. */
export interface News {
  /** Drops what is kept of codes that have changed. For entries of `codes.changed`. */
  codesChanged: (change: Pick<ObjectChanged, "objectId" | "aliases">) => void;
  /** Drops what is kept of keys that have changed. For entries of `keys.changed`. */
  keysChanged: (change: Pick<ObjectChanged, "objectId" | "aliases">) => void;
  /** Asks again for all codes and keys: changes may have been missed. */
  changesMissed: () => void;
}

/** The parts of a gateway. */
export interface Parts {
  faces: Faces;
  recorder: Recorder;
  news: News;
  /** Brings the last touches to intake, as many as the time allows. */
  close: (limitMs: number) => Promise<void>;
}

/** Who opens parts. */
export interface PartsOptions extends GatewayOptions {
  stopping: AbortSignal;
  publicUrl: () => string;
}

const STOPPING: Readiness = { ready: false, dependencies: { gateway: "stopping" }, lag: {} };

/** Opens all parts behind the door. Throws, with nothing left open, when the contract cannot be served or the queue's folder not used. */
export async function openParts(options: PartsOptions): Promise<Parts> {
  const { services, client, log, countryOf, now = Date.now, newsAreFresh, stopping, publicUrl } = options;
  const table = compileRoutes(services, dialects);
  const authenticator = openAuthenticator({ authority: client(AuthorityService), now, newsAreFresh });
  const limiter = limiterOf(options);
  const admission = openAdmission({ authenticator, limiter, now });
  const codes = client(DirectoryService);
  const directory = openDirectory({ codes, now, newsAreFresh });
  const pictures = openPictures({ codes, admission, log });
  const touches = await openTouches(options);
  const pages = openPages();
  const { recorder, positions } = touches;
  const ready = async () => (stopping.aborted ? STOPPING : touches.look(await options.ready(), directory));
  return {
    recorder,
    news: newsFor({ directory, pictures, authenticator }),
    faces: {
      rest: { table, admission, client, positions, log, stopping },
      connect: openConnect({ services, admission, client, positions, log }),
      redirects: { directory, recorder, pages, countryOf, now, log },
      pictures,
      pages,
      openApi: serveDocument("openapi", () => openApi(table, { publicUrl: publicUrl(), version: manifest.version })),
      ready,
    },
    close: async (limitMs) => {
      await recorder.close(limitMs);
      limiter.close();
    },
  };
}

function limiterOf({ config, gossip, queue }: PartsOptions): Limiter {
  if (gossip === undefined) return openLimiter(config.rateLimits);
  const key = createHmac("sha256", queue.key).update("limits").digest();
  return openLimiter(config.rateLimits, { gossip, key });
}

interface Touches {
  recorder: Recorder;
  positions: Positions;
  /** Adds to the readiness what the parts have noticed, and sets the gauges. */
  look: (state: Readiness, directory: Directory) => Readiness;
}

async function openTouches({ client, log, queue: place }: PartsOptions): Promise<Touches> {
  const queue = await TouchQueue.open({ ...place, log });
  const positions = openPositions((owner) => queue.waiting(owner));
  const line = new IntakeLine({ intake: client(IntakeService), log, positions });
  const recorder = new Recorder({ line, queue, log });
  return {
    recorder,
    positions,
    look: (state, directory) => {
      redirectQueue.set(recorder.depth);
      redirectQueueBytes.set(queue.bytes);
      const answers = { scans: !line.isDown, codes: directory.answers() };
      return withNoticed(state, { queuedTouches: recorder.depth, answers });
    },
  };
}

function newsFor(parts: { directory: Directory; pictures: Pictures; authenticator: Authenticator }): News {
  const { directory, pictures, authenticator } = parts;
  return {
    codesChanged: (change) => {
      directory.invalidate(change);
      pictures.invalidate(change);
    },
    keysChanged: authenticator.invalidate,
    changesMissed: () => {
      directory.invalidateAll();
      pictures.invalidateAll();
      authenticator.invalidateAll();
    },
  };
}
