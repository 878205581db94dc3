/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The display of conf/examples/phone.json. It inherits its region, open, so it asks nobody for it:
 * ten times a second it gives the guest the number of a frame, and the guest answers with the next.
 * When the region is closed it ends; cvd-launch starts it again with that of the next guest.
 */
#include <cvd-client.h>

#include <glib-unix.h>

#define FRAME_MS 100

typedef struct {
    GMainLoop *loop;
    CvdRegion *region;
    guint n_frames;
} Display;

static gboolean show_frame(gpointer data)
{
    Display *display = data;
    guint word = cvd_region_get_data_offset(display->region);

    /* Of a region that is closed on_closed() hears, too. */
    return cvd_region_store(display->region, word, display->n_frames, NULL) &&
           cvd_region_signal(display->region, word, NULL);
}

static void on_signalled(CvdRegion *region, guint offset, Display *display)
{
    guint answer;

    if (offset != cvd_region_get_data_offset(region) + 4 ||
        !cvd_region_load(region, offset, &answer, NULL) || answer != display->n_frames + 1)
        return;
    if (display->n_frames++ == 0)
        g_print("the guest takes frames\n");
}

static void on_closed(CvdRegion *region, Display *display)
{
    g_main_loop_quit(display->loop);
}

static gboolean on_stop(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

int main(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(CvdRegion) region = cvd_region_open_passed("hwcomposer", 0, &error);
    Display display = {.loop = loop, .region = region};

    if (region == NULL) {
        g_printerr("%s\n", error->message);
        return 1;
    }
    g_signal_connect(region, "signalled", G_CALLBACK(on_signalled), &display);
    g_signal_connect(region, "closed", G_CALLBACK(on_closed), &display);
    g_unix_signal_add(SIGTERM, on_stop, loop);
    cvd_region_start(region);
    g_timeout_add(FRAME_MS, show_frame, &display);
    g_main_loop_run(loop);
    g_print("%u frames\n", display.n_frames);
    return 0;
}
