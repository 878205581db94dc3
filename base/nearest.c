/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"

#include <string.h>

/* Longer names are not compared: the cost is the product of the lengths. */
#define MAX_COMPARED_NAME 64

/* Edit distance in which case does not count and neighbours that changed places count once. */
static guint edit_distance(const char *a, const char *b)
{
    guint rows[3][MAX_COMPARED_NAME + 1];
    guint n = (guint)strlen(b);
    guint *before = rows[0], *previous = rows[1], *current = rows[2];

    for (guint j = 0; j <= n; j++)
        previous[j] = j;
    for (guint i = 1; a[i - 1]; i++) {
        current[0] = i;
        for (guint j = 1; j <= n; j++) {
            char ca = g_ascii_tolower(a[i - 1]), cb = g_ascii_tolower(b[j - 1]);
            guint least = previous[j - 1] + (ca != cb);
            least = MIN(least, MIN(previous[j], current[j - 1]) + 1);
            if (i > 1 && j > 1 && ca == g_ascii_tolower(b[j - 2]) &&
                cb == g_ascii_tolower(a[i - 2]))
                least = MIN(least, before[j - 2] + 1);
            current[j] = least;
        }
        guint *free_row = before;
        before = previous;
        previous = current;
        current = free_row;
    }
    return previous[n];
}

const char *cvd_nearest_name(const char *name, const char *const *known)
{
    gsize length = strlen(name);
    if (length > MAX_COMPARED_NAME)
        return NULL;

    const char *nearest = NULL;
    guint least = 2 + (guint)length / 4; /* so much may differ, less one */
    for (; *known; known++) {
        if (strlen(*known) > MAX_COMPARED_NAME)
            continue;
        guint distance = edit_distance(name, *known);
        /* Nothing in common is no nearness, however short the names. */
        if (distance < least && distance < MAX(length, strlen(*known))) {
            least = distance;
            nearest = *known;
        }
    }
    return nearest;
}
