/* The VMs in the order of their names, for lists: see registry.h. A sorted array: a name is found
 * by halving, and moving 10,000 pointers up by one costs less than allocating a node of a tree. */
#include "core/base/mem.h"
#include "core/vm/registry.h"

#include <string.h>

size_t names_after(const struct registry *r, const char *name)
{
    size_t low = 0, high = r->n_names;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(r->names[middle]->name, name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void names_add(struct registry *r, struct vm *vm)
{
    size_t at = names_after(r, vm->name);

    if (r->n_names == r->names_cap) {
        r->names_cap = r->names_cap ? 2 * r->names_cap : 64;
        r->names = mem_resize(r->names, r->names_cap, sizeof *r->names);
    }
    memmove(r->names + at + 1, r->names + at, (r->n_names - at) * sizeof(struct vm *));
    r->names[at] = vm;
    r->n_names++;
}

void names_remove(struct registry *r, const struct vm *vm)
{
    size_t at = names_after(r, vm->name);

    while (at && r->names[at - 1] != vm)
        at--;
    if (!at)
        return;
    r->n_names--;
    memmove(r->names + at - 1, r->names + at, (r->n_names + 1 - at) * sizeof(struct vm *));
}
