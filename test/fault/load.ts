import { setTimeout as delay } from "node:timers/promises";
import { type Answer, caller } from "../support/waymark.ts";

/** Scans of one request. */
const SIZE = 5;
/** A request without an answer for so long is given up and sent again. */
const PATIENCE_MS = 20_000;

/** Scans and redirects that go on through whatever happens, and what became of them. */
export interface Load {
  /** Ids of scans that were acknowledged. */
  acknowledged: Set<string>;
  /** Redirects that were answered, and those that were not. */
  redirects: { answered: number; unanswered: number; other: { status: number; text: string }[] };
  /** Answers to scans that were neither an acknowledgement nor "come again". */
  surprises: { status: number; text: string }[];
  /** Resolves when a scan that is sent from now on has been acknowledged. */
  works: () => Promise<void>;
  /** Sends no more, and resolves when everything that was sent is acknowledged. */
  stop: () => Promise<void>;
}

/** What a load is aimed at. */
export interface Target {
  urls: readonly string[];
  key: string;
  /** Of a code that scans name by id, and of one that redirects go through. */
  codeId: string;
  shortId: string;
  /** Begins the ids of scans, so that loads of one system do not meet. */
  name: string;
}

/** Starts sending: scans by id from two workers, each repeated until it is acknowledged, and redirects from one. */
export function startLoad(target: Target): Load {
  const callers = target.urls.map(caller);
  const load = {
    acknowledged: new Set<string>(),
    redirects: { answered: 0, unanswered: 0, other: [] as { status: number; text: string }[] },
    surprises: [] as { status: number; text: string }[],
  };
  let isOn = true;
  let turn = 0;
  const next = () => callers[turn++ % callers.length] as ReturnType<typeof caller>;
  const send = async (ids: readonly string[]): Promise<void> => {
    const scans = ids.map((id) => ({ id, qpr_code_id: target.codeId, device_id: id }));
    for (;;) {
      const answer = await withLimit(next()("POST", "/v1/scans", { key: target.key, body: { scans } }));
      if (answer?.status === 200 && answer.body.accepted === ids.length) break;
      if (answer !== undefined && !isRetryable(answer)) load.surprises.push(answer);
      await delay(100);
    }
    for (const id of ids) load.acknowledged.add(id);
  };
  const scan = async (worker: number): Promise<void> => {
    for (let n = 0; isOn; n += 1) {
      await send(Array.from({ length: SIZE }, (_, index) => `${target.name}-${worker}-${n}-${index}`));
      await delay(5);
    }
  };
  const redirect = async (): Promise<void> => {
    while (isOn) {
      const answer = await withLimit(next()("GET", `/s/${target.shortId}`, { headers: { "user-agent": PHONE } }));
      if (answer === undefined) load.redirects.unanswered += 1;
      else if (answer.status === 302) load.redirects.answered += 1;
      else load.redirects.other.push({ status: answer.status, text: answer.text });
      await delay(10);
    }
  };
  const workers = Promise.all([scan(0), scan(1), redirect()]);
  let probes = 0;
  return {
    ...load,
    works: () => send([`${target.name}-probe-${probes++}`]),
    stop: async () => {
      isOn = false;
      await workers;
    },
  };
}

const PHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Version/17.4 Mobile Safari/604.1";

/** What a client may meet while a part is away; the same request can work later. */
function isRetryable({ status }: Answer): boolean {
  return status === 503 || status === 504 || status === 429;
}

/** The answer, or undefined when there was none in time. */
async function withLimit(asking: Promise<Answer>): Promise<Answer | undefined> {
  const limit = new AbortController();
  const late = delay(PATIENCE_MS, undefined, { signal: limit.signal }).catch(() => undefined);
  const answer = await Promise.race([asking.catch(() => undefined), late]);
  limit.abort();
  return answer;
}
