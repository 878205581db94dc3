/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/stream-log.h"

#include "base/fd.h"
#include "base/source.h"

#include <errno.h>

struct CvdStreamLog {
    int fd;
    CvdLogFile *log;
    GSource *readable; /* NULL after the stream's end */
};

/* What reads the log takes it for lines of text, which end at the first NUL. */
static void replace_nul(char *bytes, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if (bytes[i] == '\0')
            bytes[i] = '?';
}

/* Returns: whether there may be more to read */
static gboolean read_some(gpointer data)
{
    CvdStreamLog *stream = data;
    char bytes[CVD_STREAM_READ_SIZE];
    gssize n = cvd_socket_receive(stream->fd, bytes, sizeof bytes, NULL, 0);

    if (n > 0) {
        replace_nul(bytes, (gsize)n);
        cvd_log_file_append(stream->log, bytes, (gsize)n);
        return TRUE;
    }
    if (n == 0 || errno != EAGAIN)
        cvd_source_clear(&stream->readable);
    return FALSE;
}

CvdStreamLog *cvd_stream_log_new(int take_fd, CvdLogFile *log)
{
    CvdStreamLog *stream = g_new0(CvdStreamLog, 1);

    stream->fd = take_fd;
    stream->log = log;
    stream->readable = cvd_source_watch_stream(take_fd, CVD_STREAM_INTERVAL_MS, read_some, stream);
    return stream;
}

void cvd_stream_log_free(CvdStreamLog *stream)
{
    cvd_source_clear(&stream->readable);
    cvd_close_fd(&stream->fd);
    g_free(stream);
}

void cvd_stream_log_read_rest(CvdStreamLog *stream)
{
    for (gsize n = 0; n < CVD_LOG_FILE_MAX_SIZE; n += CVD_STREAM_READ_SIZE)
        if (stream->readable == NULL || !read_some(stream))
            break;
}
