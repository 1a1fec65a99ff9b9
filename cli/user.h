/* What the files of the noun "user" share. */
#pragma once
#include "cli/cli.h"

extern const struct flag user_password_flags[];
bool user_password_run(struct cli *cli, struct fault *fault) MUST_USE;
bool user_add_certificate_run(struct cli *cli, struct fault *fault) MUST_USE;
bool user_certificates_run(struct cli *cli, struct fault *fault) MUST_USE;
bool user_remove_certificate_run(struct cli *cli, struct fault *fault) MUST_USE;
bool user_delete_at(struct cli *cli, const char *path, struct fault *fault) MUST_USE;
