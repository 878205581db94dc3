/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pattern is a user's, the text a guest's, which may know the pattern. So each comparison has a
 * limit of steps, and all together one of time. It is compiled without PCRE's translator to machine
 * code: that would need memory to write and execute, which some services are not given.
 */
#include "launcher/qemu/line-watch.h"

#include "base/error.h"

#include <string.h>

/* Of backtracking, in a comparison: 0.2 ms at the most. Another limit behind it would replace it.
 */
#define LIMIT "(*LIMIT_MATCH=10000)"

/* Of the bytes that come, as ECMA-48 has them. */
typedef enum {
    TEXT,
    ESCAPE,        /* after ESC, and what may come before its last byte, as in `ESC ( B` */
    CONTROL,       /* in `ESC [ 3 1 m`, before the last */
    STRING,        /* in a title or the like, to BEL or ESC \ */
    STRING_ESCAPE, /* in there, after ESC */
} State;

struct CvdLineWatch {
    GRegex *regex; /* NULL: nothing is looked at any more */
    State state;
    char line[CVD_LINE_WATCH_MAX_LINE];
    gsize length;
    gsize n_compared; /* of it, when it was not complete */
    gint64 begin_us;  /* 0: nothing has come */
    gint64 spent_us;
};

static GRegex *compile(const char *limit, const char *pattern, GError **error)
{
    g_autofree char *limited = g_strconcat(limit, pattern, NULL);

    return g_regex_new(limited, G_REGEX_RAW, 0, error);
}

gboolean cvd_line_pattern_check(const char *pattern, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    g_autoptr(GRegex) regex = compile("", pattern, &local_error);

    if (regex == NULL)
        return cvd_fail(error, CVD_ERROR_INVALID, "%s", local_error->message);
    if (g_str_has_prefix(pattern, "(*"))
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "a pattern cannot begin with settings of PCRE2, such as (*UTF)");
    if (g_regex_match(regex, "", 0, NULL))
        return cvd_fail(error, CVD_ERROR_INVALID, "any line would match it, even an empty one");
    return TRUE;
}

CvdLineWatch *cvd_line_watch_new(const char *pattern)
{
    CvdLineWatch *watch = g_new0(CvdLineWatch, 1);

    watch->regex = compile(LIMIT, pattern, NULL);
    return watch;
}

void cvd_line_watch_free(CvdLineWatch *watch)
{
    g_clear_pointer(&watch->regex, g_regex_unref);
    g_free(watch);
}

/* A line that takes too many steps is none that matches. */
static gboolean compare(CvdLineWatch *watch, GRegexMatchFlags flags)
{
    gint64 begin_us = g_get_monotonic_time();
    gboolean is_match =
        g_regex_match_full(watch->regex, watch->line, (gssize)watch->length, 0, flags, NULL, NULL);

    watch->spent_us += g_get_monotonic_time() - begin_us;
    return is_match;
}

static gboolean end_line(CvdLineWatch *watch)
{
    gboolean is_match = watch->length > 0 && compare(watch, 0);

    watch->length = watch->n_compared = 0;
    return is_match;
}

/* What does not fit is left out. */
static void add(CvdLineWatch *watch, char c)
{
    gboolean is_control = (guchar)c < ' ' || c == 0x7f;

    if (watch->length < sizeof watch->line && (!is_control || c == '\t'))
        watch->line[watch->length++] = c;
}

static State next_state(State state, guchar c)
{
    switch (state) {
    case TEXT:
        return c == 0x1b ? ESCAPE : TEXT;
    case ESCAPE:
        if (c >= 0x20 && c <= 0x2f)
            return ESCAPE;
        return c == '[' ? CONTROL : c != 0 && strchr("]PX^_", c) != NULL ? STRING : TEXT;
    case CONTROL:
        return c == 0x1b ? ESCAPE : c >= 0x40 && c <= 0x7e ? TEXT : CONTROL;
    case STRING:
        return c == 0x07 ? TEXT : c == 0x1b ? STRING_ESCAPE : STRING;
    case STRING_ESCAPE:
        return next_state(ESCAPE, c);
    }
    g_assert_not_reached();
}

/* The end of a line ends whatever it is in. Returns: whether a line that is complete matches */
static gboolean take_byte(CvdLineWatch *watch, char c)
{
    if (c == '\n' || c == '\r') {
        watch->state = TEXT;
        return end_line(watch);
    }
    State before = watch->state;
    watch->state = next_state(before, (guchar)c);
    if (before == TEXT && watch->state == TEXT)
        add(watch, c);
    return FALSE;
}

static gboolean compare_incomplete(CvdLineWatch *watch)
{
    if (watch->length == watch->n_compared)
        return FALSE;
    watch->n_compared = watch->length;
    return compare(watch, G_REGEX_MATCH_NOTEOL);
}

/* Returns: how much time may have been spent by now */
static gint64 get_limit_us(CvdLineWatch *watch)
{
    gint64 now_us = g_get_monotonic_time();

    if (watch->begin_us == 0)
        watch->begin_us = now_us;
    return CVD_LINE_WATCH_MAX_US + (now_us - watch->begin_us) / CVD_LINE_WATCH_SHARE;
}

CvdLineWatchResult cvd_line_watch_take(CvdLineWatch *watch, const char *bytes, gsize size)
{
    gint64 limit_us = get_limit_us(watch);
    gboolean is_match = FALSE;

    if (watch->regex == NULL)
        return CVD_LINE_WATCH_GOES_ON;
    for (gsize i = 0; i < size && !is_match && watch->spent_us < limit_us; i++)
        is_match = take_byte(watch, bytes[i]);
    is_match = is_match || compare_incomplete(watch);
    if (!is_match && watch->spent_us < limit_us)
        return CVD_LINE_WATCH_GOES_ON;
    g_clear_pointer(&watch->regex, g_regex_unref);
    return is_match ? CVD_LINE_WATCH_MATCHED : CVD_LINE_WATCH_GIVEN_UP;
}
