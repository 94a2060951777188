import { isbot, isbotMatch } from "isbot";

/** Why a touch is not a person's. Empty: it is. What changes here changes VERDICT_RULES in the runtime. */
export type VerdictReason = "" | "head" | "prefetch" | "preview" | "isbot";

/** Programs that fetch a link to draw a card of it where someone has shared it. A person may follow later, or not. */
const previewers =
  /facebookexternalhit|Facebot|WhatsApp|Slackbot|Slack-ImgProxy|Twitterbot|TelegramBot|LinkedInBot|Discordbot|SkypeUriPreview|vkShare|Viber|redditbot|Pinterestbot|BingPreview|Iframely|Embedly|Snap URL Preview|line-poker|KakaoTalk-scrap|Google-PageRenderer|Mastodon\/|Synapse|Quora Link Preview|XING-contenttabreceiver|ZaloPC-.*preview|MicrosoftPreview/i;

/** What a user agent says about who it is. */
export interface Actor {
  reason: "" | "preview" | "isbot";
  /** Name of the program, "Googlebot". Empty for people. */
  name: string;
}

/** Tells programs by their user agent. None is a person's. */
export function actorOf(userAgent: string): Actor {
  if (userAgent === "") return { reason: "", name: "" };
  const previewer = previewers.exec(userAgent)?.[0];
  if (previewer !== undefined) return { reason: "preview", name: wordAround(userAgent, previewer) };
  if (!isbot(userAgent)) return { reason: "", name: "" };
  return { reason: "isbot", name: wordAround(userAgent, isbotMatch(userAgent) ?? "") };
}

/** What a request says beside its user agent. */
export interface Signals {
  /** HTTP method; empty when it came through the API. */
  method: string;
  /** By lower-case name. */
  headers: Readonly<Record<string, string>>;
}

/** Why a touch does not count, by the strongest sign: its method, then what the browser says it does, then who it is. */
export function reasonOf({ method, headers }: Signals, actor: Actor): VerdictReason {
  if (method === "HEAD") return "head";
  const purpose = headers["sec-purpose"] ?? headers.purpose ?? headers["x-purpose"] ?? headers["x-moz"];
  if (purpose !== undefined && /\b(?:prefetch|prerender|preview|instant)\b/i.test(purpose)) return "prefetch";
  return actor.reason;
}

/** The word of the user agent that a match is in: "bot" in "compatible; Googlebot/2.1" → "Googlebot", without a version. */
function wordAround(userAgent: string, match: string): string {
  const at = match === "" ? -1 : userAgent.indexOf(match);
  if (at < 0) return "";
  const before = /[\w-]*$/.exec(userAgent.slice(0, at))?.[0] ?? "";
  const after = /^[\w-]*/.exec(userAgent.slice(at + match.length))?.[0] ?? "";
  return `${before}${match}${after}`.replace(/[/\s(].*$/, "").slice(0, 64);
}
