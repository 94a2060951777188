import type { Answer, Waymark } from "../support/waymark.ts";
import { dateOf, dayBefore } from "./eventually.ts";

/** A scan as `POST /v1/scans` takes it. */
export interface SentScan {
  id?: string;
  qpr_code_id?: string;
  short_id?: string;
  scanned_at?: string;
  [field: string]: unknown;
}

/** The code of the documents' examples. */
export const CONCIERGE = {
  id: "qpr_01HXYZ789ABC",
  name: "Hotel Room Concierge",
  prompt: "You are the concierge of a hotel.",
  template: "hospitality",
  short_id: "hc9m3r",
};

/** Makes a code; fails when it is not made. */
export async function makeCode(
  { call }: Pick<Waymark, "call">,
  key: string,
  body: Record<string, unknown>,
  // biome-ignore lint/suspicious/noExplicitAny: the code as the API shows it
): Promise<any> {
  const made = await call("POST", "/v1/qpr-codes", { key, body: { name: "A code", prompt: "Be kind.", ...body } });
  if (made.status !== 200) throw new Error(`the code was not made: ${made.text}`);
  return made.body;
}

/** Sends scans and waits until they are projected. */
export async function sendScans(waymark: Waymark, key: string, scans: readonly SentScan[]): Promise<Answer> {
  const answer = await waymark.call("POST", "/v1/scans", { key, body: { scans } });
  await waymark.idle();
  return answer;
}

/** Scans and conversations of each of the last 30 days: the documented 8/6 and 5/4, then the rest of 142 and 105. */
export function campaignDays(): { date: string; scans: number; conversations: number }[] {
  return Array.from({ length: 30 }, (_, index) => {
    const date = dateOf(dayBefore(29 - index));
    if (index === 0) return { date, scans: 8, conversations: 6 };
    if (index === 1) return { date, scans: 5, conversations: 4 };
    return { date, scans: index < 19 ? 5 : 4, conversations: index < 13 ? 4 : 3 };
  });
}

const COUNTRIES: [string | undefined, number][] = [
  ["US", 89],
  ["GB", 21],
  ["CA", 14],
  ["DE", 8],
  ["FR", 6],
  [undefined, 4],
];

/** 142 scans of 138 devices over the last 30 days; 105 of them have a conversation, with 546 messages in all. */
export function campaign(now: number): SentScan[] {
  const countries = COUNTRIES.flatMap(([country, count]) => Array.from({ length: count }, () => country));
  let number = 0;
  let talks = 0;
  return campaignDays().flatMap(({ date, scans, conversations }) =>
    Array.from({ length: scans }, (_, index): SentScan => {
      const noon = Date.parse(`${date}T12:00:00Z`);
      const at = noon + index * 1000 < now ? noon + index * 1000 : Math.max(Date.parse(date), now - index * 1000);
      const started = index < conversations;
      if (started) talks += 1;
      // 105 conversations: 84 of five messages and 21 of six.
      const messages = started ? (talks <= 84 ? 5 : 6) : 0;
      const country = countries[number];
      number += 1;
      return {
        id: `scan_${number}`,
        qpr_code_id: CONCIERGE.id,
        scanned_at: new Date(at).toISOString(),
        ...(country !== undefined && { country }),
        device_id: `device-${number > 138 ? number - 138 : number}`,
        device: "mobile",
        conversation_started: started,
        conversation_messages: messages,
      };
    }),
  );
}
