/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doorbell is a peer's of its own, so nobody else takes its rings; a ring means that the word
 * is to be looked at. The guest may ring as fast as it can without setting the word, so after a
 * ring nothing is looked at for a while; and once it was ready, nothing is looked at any more.
 */
#include "server/ready-watch.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/source.h"

#include <errno.h>
#include <sys/eventfd.h>

#define INTERVAL_MS 10

struct CvdReadyWatch {
    GMainContext *context;
    const CvdWindow *window;
    int fd;
    GSource *source; /* NULL while nothing is to be reported */
    void (*ready)(gpointer owner);
    gpointer owner;
};

CvdReadyWatch *cvd_ready_watch_new(GMainContext *context, const CvdWindow *window,
                                   void (*ready)(gpointer owner), gpointer owner, GError **error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "the guest's doorbell of readiness");
        return NULL;
    }

    CvdReadyWatch *watch = g_new(CvdReadyWatch, 1);
    *watch = (CvdReadyWatch){.context = g_main_context_ref(context),
                             .window = window,
                             .fd = fd,
                             .ready = ready,
                             .owner = owner};
    return watch;
}

void cvd_ready_watch_free(CvdReadyWatch *watch)
{
    if (watch == NULL)
        return;
    cvd_source_clear(&watch->source);
    cvd_close_fd(&watch->fd);
    g_main_context_unref(watch->context);
    g_free(watch);
}

int cvd_ready_watch_get_fd(const CvdReadyWatch *watch)
{
    return watch->fd;
}

gboolean cvd_ready_watch_has_said(CvdReadyWatch *watch)
{
    return cvd_doorbell_take(watch->fd) && cvd_window_says_ready(watch->window);
}

static gboolean look(gpointer data)
{
    CvdReadyWatch *watch = data;

    if (!cvd_doorbell_take(watch->fd))
        return FALSE;
    if (!cvd_window_says_ready(watch->window))
        return TRUE;
    cvd_source_clear(&watch->source);
    watch->ready(watch->owner);
    return FALSE;
}

void cvd_ready_watch_end(CvdReadyWatch *watch)
{
    cvd_source_clear(&watch->source);
}

void cvd_ready_watch_begin(CvdReadyWatch *watch)
{
    cvd_ready_watch_end(watch);
    cvd_doorbell_take(watch->fd);
    g_main_context_push_thread_default(watch->context);
    watch->source = cvd_source_watch_stream(watch->fd, INTERVAL_MS, look, watch);
    g_main_context_pop_thread_default(watch->context);
}
