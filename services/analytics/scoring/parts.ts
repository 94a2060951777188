/** Version of the formulas below. */
export const LEAD_SCORE_RULES = "lead-score-1";

/** The parts of a lead score, in the vendor's names. */
export const PART_NAMES = [
  "engagementLevel",
  "profileFit",
  "recurringInterest",
  "recurringScans",
  "technologicalAptitude",
  "brandSupportiveness",
] as const;

/** Name of a part. */
export type PartName = (typeof PART_NAMES)[number];

/** A number for each part. */
export type Parts = Readonly<Record<PartName, number>>;

/** What is used until somebody sets weights. */
export const DEFAULT_WEIGHTS: Parts = {
  engagementLevel: 30,
  profileFit: 20,
  recurringInterest: 20,
  recurringScans: 10,
  technologicalAptitude: 5,
  brandSupportiveness: 15,
};

/** What a visitor adds up to, by which it is scored. */
export interface Sums {
  /** Events. */
  visits: number;
  /** Different links. */
  links: number;
  /** Different days, in UTC. */
  days: number;
  /** Events at which a conversation was opened. */
  talks: number;
  /** Messages of all conversations. */
  messages: number;
  /** Different kinds of devices that are known. */
  kinds: number;
  /** A browser is known of an event. */
  hasBrowser: boolean;
  /** An operating system is known of an event. */
  hasPlatform: boolean;
  hasEmail: boolean;
  hasPhone: boolean;
  hasName: boolean;
  /** Different attributes. */
  attributes: number;
}

/** What counts how much. `score-sql.ts` computes the same from the same. */
export const RULES = {
  engagement: { perConversation: 4, perMessage: 1, half: 6 },
  interest: { half: 3 },
  scans: { half: 3 },
  breadth: { half: 2 },
  aptitude: 25,
  profile: { email: 40, phone: 20, name: 20, attribute: 4, mostAttributes: 5 },
} as const;

/** The parts of a visitor, 0 to 100 each. */
export function partsOf(sums: Sums): Parts {
  const { engagement, interest, scans, breadth, aptitude, profile } = RULES;
  const effort = again(sums.visits) + engagement.perConversation * sums.talks + engagement.perMessage * sums.messages;
  const known = Math.min(sums.attributes, profile.mostAttributes);
  return {
    engagementLevel: saturating(effort, engagement.half),
    profileFit:
      (sums.hasEmail ? profile.email : 0) +
      (sums.hasPhone ? profile.phone : 0) +
      (sums.hasName ? profile.name : 0) +
      profile.attribute * known,
    recurringInterest: saturating(again(sums.days), interest.half),
    recurringScans: saturating(sums.visits - sums.links, scans.half),
    technologicalAptitude:
      aptitude * [sums.kinds > 0, sums.kinds > 1, sums.hasBrowser, sums.hasPlatform].filter(Boolean).length,
    brandSupportiveness: saturating(again(sums.links), breadth.half),
  };
}

/** All after the first. */
function again(count: number): number {
  return Math.max(0, count - 1);
}

/** 0 for nothing, 50 for `half`, towards 100 for very much. */
function saturating(amount: number, half: number): number {
  return (100 * amount) / (amount + half);
}

/** So exactly shares are kept: a billionth. */
export const SHARE_UNIT = 1_000_000_000;

/** What each weight is of all weights: together 1. */
export function sharesOf(weights: Parts): Parts {
  const sum = PART_NAMES.reduce((all, name) => all + weights[name], 0);
  const shares = PART_NAMES.map((name) => [name, Math.round((SHARE_UNIT * weights[name]) / sum) / SHARE_UNIT]);
  return Object.fromEntries(shares) as unknown as Parts;
}

/** The weighted mean of the parts, 0 to 100. */
export function scoreOf(parts: Parts, weights: Parts): number {
  const shares = sharesOf(weights);
  return PART_NAMES.reduce((sum, name) => sum + shares[name] * parts[name], 0);
}

const many = (count: number, one: string, more = `${one}s`): string => `${count} ${count === 1 ? one : more}`;

/** Why each part is what it is, in a sentence. */
export function reasonsOf(sums: Sums): Readonly<Record<PartName, string>> {
  const told = { email: sums.hasEmail, phone: sums.hasPhone, name: sums.hasName };
  const known = Object.entries(told).flatMap(([what, isKnown]) => (isKnown ? [what] : []));
  if (sums.attributes > 0) known.push(many(sums.attributes, "attribute"));
  const device = { browser: sums.hasBrowser, "operating system": sums.hasPlatform };
  const seen = Object.entries(device).flatMap(([what, isKnown]) => (isKnown ? [what] : []));
  return {
    engagementLevel: `${many(sums.visits, "visit")}, ${many(sums.talks, "conversation")}, ${many(sums.messages, "message")}`,
    profileFit: known.length === 0 ? "nothing is known of the visitor" : `known: ${known.join(", ")}`,
    recurringInterest: `came on ${many(sums.days, "day")}`,
    recurringScans: `scanned a known code again ${many(Math.max(0, sums.visits - sums.links), "time")}`,
    technologicalAptitude: `${many(sums.kinds, "known kind")} of device; known: ${seen.join(", ") || "nothing more"}`,
    brandSupportiveness: `met ${many(sums.links, "link")}`,
  };
}

/** To two decimals, as scores are answered. */
export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/** A score with its parts, in the vendor's names. */
export function leadScoreOf(parts: Parts, weights: Parts) {
  const shown = PART_NAMES.map((name) => [name, rounded(parts[name])]);
  return { leadScore: rounded(scoreOf(parts, weights)), ...(Object.fromEntries(shown) as unknown as Parts) };
}
