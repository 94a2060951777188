import { request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { PHONE } from "../e2e/phones.ts";

/** What customers did, and what came of it. */
export interface Visits {
  /** Redirects that were answered with 302. */
  redirected: number;
  /** Scans in batches that were answered with 200. */
  acknowledged: number;
  /** Everything else that came back, or that nothing came back. */
  failed: string[];
}

/** How to reach Waymark, and as whom. */
export interface Shop {
  url: string;
  key: string;
  code: { id: string; short_id: string };
}

/** Scans in a batch. */
const BATCH = 5;
/** Customers at once, and how long each waits between two requests. */
const CUSTOMERS = 6;
const PAUSE_MS = 40;

/**
 * Customers scan codes and machines send batches, at a rate that the machine takes, until they are told to stop. Each request
 * has a connection of its own, as phones have; none is sent again.
 */
export function openDoors(
  shop: Shop,
  name: string,
): { close: () => Promise<Visits>; enough: (count: number) => Promise<void> } {
  const visits: Visits = { redirected: 0, acknowledged: 0, failed: [] };
  let isOpen = true;
  const come = async (customer: number): Promise<void> => {
    for (let n = 0; isOpen; n += 1) {
      await (n % 2 === 0 ? scan(shop, visits) : send(shop, { visits, prefix: `${name}-${customer}-${n}` }));
      await delay(PAUSE_MS);
    }
  };
  const all = Promise.all(Array.from({ length: CUSTOMERS }, (_, customer) => come(customer)));
  return {
    enough: async (count) => {
      const wanted = visits.redirected + count;
      while (visits.redirected < wanted && visits.failed.length < 50) await delay(20);
    },
    close: async () => {
      isOpen = false;
      await all;
      return visits;
    },
  };
}

async function scan({ url, code }: Shop, visits: Visits): Promise<void> {
  const answer = await ask(`${url}/s/${code.short_id}`, { headers: { "user-agent": PHONE } });
  if (answer.status === 302) visits.redirected += 1;
  else visits.failed.push(`GET /s: ${answer.status} ${answer.text}`);
}

async function send({ url, key, code }: Shop, given: { visits: Visits; prefix: string }): Promise<void> {
  const { visits, prefix } = given;
  const ids = Array.from({ length: BATCH }, (_, index) => `${prefix}-${index}`);
  const scans = ids.map((id) => ({ id, qpr_code_id: code.id, device_id: id }));
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  const answer = await ask(`${url}/v1/scans`, { method: "POST", headers, body: JSON.stringify({ scans }) });
  if (answer.status === 200 && answer.text.includes(`"accepted":${BATCH}`)) visits.acknowledged += BATCH;
  else visits.failed.push(`POST /v1/scans: ${answer.status} ${answer.text}`);
}

interface Ask {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** One request on a fresh connection. Status 0 where nothing came back, with the reason. */
function ask(url: string, { method = "GET", headers = {}, body = "" }: Ask): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    const fail = (error: Error): void => resolve({ status: 0, text: `${new Date().toISOString()} ${error.message}` });
    const sent = request(url, { method, headers: { ...headers, connection: "close" }, agent: false, timeout: 20_000 });
    sent.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text })).on("error", fail);
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer within 20 s"))).on("error", fail);
    sent.end(body);
  });
}
