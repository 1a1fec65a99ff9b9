/* What the files of the noun disk share. */
#pragma once
#include "cli/cli.h"
#include "cli/command.h"

/* disk_upload.c */
extern const struct flag disk_upload_flags[], disk_delete_image_flags[];
bool disk_upload_run(struct cli *cli, struct fault *fault) MUST_USE;
bool disk_delete_image_run(struct cli *cli, struct fault *fault) MUST_USE;
