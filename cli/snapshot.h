/* What the files of the noun "snapshot" share. */
#pragma once
#include "cli/cli.h"

extern const struct flag snapshot_export_flags[];
extern const struct flag snapshot_diff_flags[];
extern const struct flag snapshot_screenshot_flags[];
bool snapshot_screenshot_run(struct cli *cli, struct fault *fault) MUST_USE;
extern const struct flag snapshot_serve_flags[];
bool snapshot_serve_run(struct cli *cli, struct fault *fault) MUST_USE;
bool snapshot_diff_run(struct cli *cli, struct fault *fault) MUST_USE;
extern const struct flag snapshot_archive_flags[];
bool snapshot_archive_run(struct cli *cli, struct fault *fault) MUST_USE;
bool snapshot_unarchive_run(struct cli *cli, struct fault *fault) MUST_USE;
bool snapshot_export_run(struct cli *cli, struct fault *fault) MUST_USE;
/* "/snapshots/<id>" of the snapshot that the second word of the command line means; owned by the
 * caller. NULL with NOT_FOUND. */
char *snapshot_path(struct cli *cli, struct fault *fault);
