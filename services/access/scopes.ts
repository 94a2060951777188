/** Every scope and what it allows. The gateway checks a method's scopes against the key's; `admin` passes all. */
export const SCOPES: Readonly<Record<string, string>> = {
  "codes:read": "Read QR codes, links, routing and their pictures.",
  "codes:write": "Make, change and delete QR codes and links.",
  "scans:read": "Read scans and code analytics.",
  "scans:write": "Record scans and conversations.",
  "impressions:read": "Read programs, posters, ambassadors, impressions, referrals and earnings.",
  "impressions:write": "Make and change them, and record impressions.",
  "tags:read": "Read tags, their scans, finder threads and notices.",
  "tags:write": "Make, change and delete tags, and answer finders.",
  "emergency:read": "Read medical profiles and who looked at them.",
  "emergency:write": "Store and delete medical profiles.",
  "touchpoints:read": "Read experiences, touchpoints and their metrics.",
  "touchpoints:write": "Make experiences and touchpoints, and record visits.",
  "analytics:read": "Read events, metrics and time series.",
  "analytics:write": "Save segments, alerts and scoring.",
  "visitors:read": "Read visitors and their attributes.",
  "visitors:write": "Identify, change and delete visitors.",
  "exports:read": "Read exports and their files.",
  "exports:write": "Start exports.",
  "webhooks:read": "Read webhooks and their attempts.",
  "webhooks:write": "Make, change and replay webhooks.",
  "keys:read": "Read keys, without their secrets.",
  "keys:write": "Make, rotate and revoke keys.",
  "privacy:read": "Read privacy settings and receipts of erasures.",
  "privacy:write": "Change the workspace's settings, and erase or export a person.",
  "audit:read": "Read the audit trail.",
  "ledger:read": "Read the ledger of what was received, counted and filtered.",
  admin: "Everything in the workspace.",
};

/** The only scopes that keys of a class can hold; a class that is not here can hold all but `admin`. */
export const CLASS_SCOPES: Readonly<Record<string, readonly string[]>> = {
  admin: Object.keys(SCOPES),
  analytics: ["analytics:read", "visitors:read", "exports:read", "exports:write", "scans:read", "codes:read"],
  publishable: ["scans:write", "impressions:write", "touchpoints:write"],
};

/** What a key made through the Scans API can do. */
export const SCANS_API_SCOPES = [
  "codes:read",
  "codes:write",
  "scans:read",
  "scans:write",
  "webhooks:read",
  "webhooks:write",
];
