/* What people write about a VM on the command line, as members of the API's VmSpec. Pure. */
#pragma once
#include "cli/fault.h"

#include <jansson.h>

/* "size=1G,pool=main,format=qcow2,bus=virtio" -> {"size_bytes":…}; NULL with USAGE. */
json_t *spec_disk(const char *text, struct fault *fault) MUST_USE;
/* "user" or "network=user,model=e1000e,mac=52:54:…" -> {…}; NULL with USAGE. */
json_t *spec_nic(const char *text, struct fault *fault) MUST_USE;
/* "key=value" into 'labels'. */
bool spec_label(const char *text, json_t *labels, struct fault *fault) MUST_USE;
/* "memory=1G", "label.tier=front", "kernel=" into a merge patch; an empty value is null: the
 * default. */
bool spec_set(const char *text, json_t *patch, struct fault *fault) MUST_USE;
/* The merge patch (RFC 7396) that makes 'to' of 'from'; empty when they are equal. Owned by the
 * caller. */
json_t *spec_diff(const json_t *from, const json_t *to);
/* The keys of spec_set() with what they mean, for the help. NULL behind the last. */
const char *spec_key(size_t i, const char **help);
