/* Where the kernel's hierarchies of cgroups are mounted. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Mount point of the version 1 hierarchy that has 'controller' ("cpu"), or of version 2 (NULL), in
 * the text of /proc/self/mountinfo. False when there is none; then 'out' is "". */
bool hierarchy_find(const char *mountinfo, const char *controller, char *out, size_t size);
/* Is 'word' one of the words of 'list', which blanks or commas part? */
bool hierarchy_lists(const char *list, const char *word);
