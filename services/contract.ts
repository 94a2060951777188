import type { DescService } from "@bufbuild/protobuf";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { OrganizationService } from "#gen/waymark/access/v1/organizations_pb.ts";
import { WorkspaceTokenService } from "#gen/waymark/access/v1/tokens_pb.ts";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { AggregateService } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { AnalyticsService } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { AttributionService } from "#gen/waymark/analytics/v1/attribution_pb.ts";
import { CohortService } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import { ExportService } from "#gen/waymark/analytics/v1/exports_pb.ts";
import { ForecastService } from "#gen/waymark/analytics/v1/forecast_pb.ts";
import { JourneyService } from "#gen/waymark/analytics/v1/journeys_pb.ts";
import { QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import { RevisionService } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { ScoringService } from "#gen/waymark/analytics/v1/scoring_pb.ts";
import { SegmentService } from "#gen/waymark/analytics/v1/segments_pb.ts";
import { SyncService } from "#gen/waymark/analytics/v1/sync_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { CodeService } from "#gen/waymark/codes/v1/codes_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import { JobService } from "#gen/waymark/codes/v1/jobs_pb.ts";
import { LinkService } from "#gen/waymark/codes/v1/links_pb.ts";
import { EmergencyService } from "#gen/waymark/emergency/v1/emergency_pb.ts";
import { AmbassadorService } from "#gen/waymark/impressions/v1/ambassadors_pb.ts";
import { EarningService } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { FunnelService } from "#gen/waymark/impressions/v1/funnel_pb.ts";
import { ImpressionService } from "#gen/waymark/impressions/v1/impressions_pb.ts";
import { PosterService } from "#gen/waymark/impressions/v1/posters_pb.ts";
import { ProgramService } from "#gen/waymark/impressions/v1/programs_pb.ts";
import { ReferralService } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import { LedgerService } from "#gen/waymark/scans/v1/ledger_pb.ts";
import { RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { TagDirectoryService } from "#gen/waymark/tags/v1/directory_pb.ts";
import { NotificationService } from "#gen/waymark/tags/v1/notifications_pb.ts";
import { ScanService as TagScanService } from "#gen/waymark/tags/v1/scan_pb.ts";
import { TagService } from "#gen/waymark/tags/v1/tags_pb.ts";
import { ThreadService } from "#gen/waymark/tags/v1/threads_pb.ts";
import { TouchpointService } from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";

/**
 * The proto services of every service: what a gateway in a process of its own serves without having their handlers. A test
 * holds it equal to what the registry binds.
 */
export const contract: readonly DescService[] = [
  ...[AuthorityService, KeyService, OrganizationService, WorkspaceService, WorkspaceTokenService],
  ...[CodeService, DirectoryService, JobService, LinkService],
  ...[ScanService, IntakeService, LedgerService, RegistryService],
  ...[
    AmbassadorService,
    EarningService,
    FunnelService,
    ImpressionService,
    PosterService,
    ProgramService,
    ReferralService,
  ],
  TouchpointService,
  ...[TagDirectoryService, NotificationService, TagScanService, TagService, ThreadService],
  EmergencyService,
  ...[AnalyticsService, AggregateService, VisitorService, ExportService, SyncService, QueryService, SegmentService],
  ...[ForecastService, ScoringService, RevisionService],
  ...[CohortService, AttributionService, JourneyService],
];
