import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CodeService } from "#gen/waymark/codes/v1/codes_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { AGENTS, PLACES, pick, random, record, type TouchInit, times, touchAt } from "./history.ts";
import { once, type Seeding } from "./seed.ts";

/** How many scans a day each code of the demo gets on average. */
const CODES = [
  {
    perDay: 60,
    code: {
      id: "qpr_01HXYZ789ABC",
      name: "Hotel Room Concierge",
      prompt: "You are the concierge of a hotel. Help guests with their stay.",
      welcomeMessage: "Welcome! How can we help?",
      template: "hospitality",
      shortId: "hc9m3r",
      destination: "https://example.com/concierge",
      tags: ["hotel"],
    },
  },
  {
    perDay: 35,
    code: {
      id: "qpr_demo_menu",
      name: "Restaurant Menu",
      prompt: "Tell guests about the menu of the day.",
      template: "hospitality",
      shortId: "menu4u",
      destination: "https://example.com/menu?utm_source=table&utm_medium=qr",
      tags: ["hotel", "restaurant"],
    },
  },
  {
    perDay: 15,
    code: {
      id: "qpr_demo_welcome",
      name: "Welcome Card",
      prompt: "Greet people who have just arrived.",
      welcomeMessage: "Good to see you. Ask at the desk for anything you need.",
      template: "hospitality",
      shortId: "hello2",
      tags: ["lobby"],
    },
  },
];

const DAYS = 28;

/** The codes of the demo, the documented scan, and four weeks of scans. */
export async function seedCodes(seeding: Seeding): Promise<void> {
  const codes = seeding.client(CodeService);
  for (const { code } of CODES) await once(codes.createCode(code, seeding.caller));
  await record(seeding, [
    documented(),
    ...CODES.flatMap(({ code, perDay }, index) => scansOf(seeding, { code, perDay, index })),
  ]);
}

/** The scan of the Scans API's page. */
function documented(): TouchInit {
  return {
    id: "scan_01HABC",
    purpose: Purpose.MARKETING,
    codeId: "qpr_01HXYZ789ABC",
    scannedAt: timestampFromDate(new Date("2026-03-20T15:30:00Z")),
    place: { country: "US", region: "CA", city: "San Francisco" },
    device: "mobile",
    deviceId: "demo-device",
    conversationStarted: true,
    conversationMessages: 6,
  };
}

function scansOf({ now }: Seeding, of: { code: { id: string }; perDay: number; index: number }): TouchInit[] {
  const next = random(1_000 + of.index);
  return times(next, { now, days: DAYS, perDay: of.perDay }).map((at, number) => {
    const isTalking = next() < 0.55;
    return touchAt(at, {
      id: `scan_demo_${of.index}_${number}`,
      purpose: Purpose.MARKETING,
      codeId: of.code.id,
      userAgent: pick(AGENTS, next()),
      place: pick(PLACES, next()),
      deviceId: `demo-${Math.floor(next() * of.perDay * 12)}`,
      conversationStarted: isTalking,
      conversationMessages: isTalking ? 1 + Math.floor(next() * 9) : 0,
    });
  });
}
