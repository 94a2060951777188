import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import { LedgerService } from "#gen/waymark/scans/v1/ledger_pb.ts";
import { RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { bundledPlaces, openPlaces } from "#runtime/place/places.ts";
import { type Background, defineService, type ServiceDeps } from "#runtime/service.ts";
import { TOUCH_SUBJECTS } from "#runtime/touches.ts";
import { openBacklog } from "./backlog.ts";
import { openUserAgents } from "./device.ts";
import { scanHandlers } from "./handlers.ts";
import { openIdentities } from "./identity.ts";
import { openIntake } from "./intake.ts";
import { intakeHandlers } from "./intake-handlers.ts";
import { openKnownIds } from "./known-ids.ts";
import { ledgerHandlers } from "./ledger-handlers.ts";
import { scansModels } from "./model.ts";
import { followChanges } from "./news.ts";
import { scansProjection } from "./project.ts";
import { Recorder } from "./recorder.ts";
import { registryHandlers } from "./registry-handlers.ts";
import { openPrivacySettings } from "./settings.ts";
import { openTargets } from "./targets.ts";
import { openWritten } from "./written.ts";

/** The way in for touches of every purpose; scans of marketing codes and their numbers; the ledger. */
export const scans = defineService({
  name: "scans",
  collections: scansModels,
  calls: ["access", "codes"],
  publishes: [...TOUCH_SUBJECTS, "touches.refused", "conversations.updated"],
  consumes: [
    ...TOUCH_SUBJECTS,
    ...(["touches.refused", "touches.revised", "conversations.updated"] as const),
    ...(["codes.changed", "workspaces.changed"] as const),
  ],
  projections: [scansProjection],
  routes: (router, deps) => {
    const parts = partsOf(deps);
    router.service(ScanService, scanHandlers(parts));
    router.service(IntakeService, intakeHandlers(parts));
    router.service(LedgerService, ledgerHandlers(parts));
    router.service(RegistryService, registryHandlers(parts));
  },
  start: async (deps) => startBackground(deps),
});

type Parts = ReturnType<typeof openParts>;

/** The handlers and the background work of one host share their parts. */
const opened = new WeakMap<ServiceDeps, Parts>();

function partsOf(deps: ServiceDeps): Parts {
  let parts = opened.get(deps);
  if (parts === undefined) {
    parts = openParts(deps);
    opened.set(deps, parts);
  }
  return parts;
}

function openParts(deps: ServiceDeps) {
  const { store, log, config, secrets } = deps;
  const places = openPlaces(config.placeDatabase ?? bundledPlaces());
  const lens = { places, userAgents: openUserAgents(), identities: openIdentities(secrets.key("devices")) };
  const settings = openPrivacySettings(deps);
  const targets = openTargets(deps);
  const written = openWritten(deps);
  const recorder = new Recorder(deps);
  const backlog = openBacklog(deps);
  const intake = openIntake({ settings, targets, knownIds: openKnownIds(deps), recorder, written, backlog, lens });
  return { store, log, places, settings, targets, written, recorder, backlog, intake, lens };
}

/** How often what is owed to the ledger is written when nothing else is. */
const FLUSH_MS = 2_000;

function startBackground(deps: ServiceDeps): Background {
  const { recorder, places, ...listeners } = partsOf(deps);
  const news = followChanges(deps.log, listeners);
  const timer = setInterval(() => void recorder.flush(), FLUSH_MS);
  timer.unref();
  return {
    gauges: () => ({ queue_touches: recorder.depth.touches, queue_bytes: recorder.depth.bytes }),
    stop: async () => {
      clearInterval(timer);
      await news.stop();
      await recorder.flush();
      places.close();
    },
  };
}
