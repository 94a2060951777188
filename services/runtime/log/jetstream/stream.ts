import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream";
import { CODES, isFinal, numberOf } from "./fault.ts";
import { streamSubjects } from "./subjects.ts";

const NANOS = 1_000_000;
const DAY_MS = 24 * 3600 * 1000;
/** How long a batch id is remembered. */
const REMEMBER_MS = 5 * 60 * 1000;
/** The first version that looks for repeated ids in an atomic batch. */
const LEAST_VERSION = [2, 12, 1] as const;

/** The stream that holds a log. */
export interface StreamPlan {
  stream: string;
  prefix: string;
  replicas: number;
  /** 0: for ever. */
  retentionDays: number;
}

type Settled = Pick<
  StreamConfig,
  | "subjects"
  | "storage"
  | "retention"
  | "discard"
  | "max_age"
  | "duplicate_window"
  | "num_replicas"
  | "allow_direct"
  | "allow_atomic"
>;

/** What must hold of the stream; all else, as `max_bytes`, is the operator's. */
function settled({ prefix, replicas, retentionDays }: StreamPlan): Settled {
  return {
    subjects: streamSubjects(prefix),
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    max_age: retentionDays * DAY_MS * NANOS,
    duplicate_window: REMEMBER_MS * NANOS,
    num_replicas: replicas,
    allow_direct: true,
    allow_atomic: true,
  };
}

/**
 * Makes the stream, or brings it to the plan, and reads back what the server made of it. Any number of processes may do this at
 * once. Throws an Error with a sentence for the operator when the stream is not as it must be.
 */
export async function ensureStream(manager: JetStreamManager, plan: StreamPlan): Promise<StreamInfo> {
  const wanted = settled(plan);
  const before = await find(manager, plan.stream);
  try {
    if (before === undefined) await make(manager, plan.stream, wanted);
    else if (differing(before.config, wanted).length > 0) {
      await manager.streams.update(plan.stream, { ...before.config, ...wanted });
    }
  } catch (cause) {
    if (numberOf(cause) === 0 || isPassing(cause)) throw cause;
    throw new Error(`NATS refuses the stream ${plan.stream}: ${(cause as Error).message}`, { cause });
  }
  const made = await manager.streams.info(plan.stream);
  const ignored = differing(made.config, wanted);
  if (ignored.length > 0)
    throw new Error(`NATS keeps the stream ${plan.stream} otherwise than asked: ${ignored.join("; ")}`);
  return made;
}

// As while a cluster has no leader yet.
function isPassing(cause: unknown): boolean {
  return cause instanceof JetStreamApiError && cause.status === 503 && !isFinal(cause);
}

/** Throws an Error when the server is too old for the engine. */
export function checkVersion(version: string): void {
  const parts = version.split(/[.-]/).map(Number);
  for (const [index, least] of LEAST_VERSION.entries()) {
    const part = parts[index] ?? 0;
    if (part > least) return;
    if (part < least || Number.isNaN(part)) {
      throw new Error(`NATS ${version} is too old for the log; it takes ${LEAST_VERSION.join(".")} or later`);
    }
  }
}

async function find(manager: JetStreamManager, stream: string): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(stream);
  } catch (error) {
    if (numberOf(error) === CODES.streamNotFound) return undefined;
    throw error;
  }
}

// Another process may have made it meanwhile, by an older or newer plan; the reading back tells.
async function make(manager: JetStreamManager, name: string, wanted: Settled): Promise<void> {
  try {
    await manager.streams.add({ name, ...wanted });
  } catch (error) {
    if (numberOf(error) !== CODES.streamExists) throw error;
  }
}

function differing(found: StreamConfig, wanted: Settled): string[] {
  return Object.entries(wanted).flatMap(([name, value]) => {
    const is = JSON.stringify((found as unknown as Record<string, unknown>)[name]);
    const must = JSON.stringify(value);
    return is === must ? [] : [`${name} is ${is ?? "missing"} and must be ${must}`];
  });
}
