/* A sound card made of files: the test bed's microphone and speaker below the real libasound.
 *
 *     pcm.NAME { type pivoice; dir "/path"; rate 48000; channels 1; format S16_LE }
 *
 * Each of the three may be a list ("16000 48000"; "S16_LE S32_LE"): what the card offers. What was taken of it is
 * written to dir/{mic,speaker}.params ("RATE CHANNELS FORMAT").
 *
 * The card's samples lie in dir/mic.raw and dir/speaker.raw, interleaved, in the format that was taken.
 * They are timelines: frame k sounds from dir/epoch + k / rate on, dir/epoch being a CLOCK_MONOTONIC time in
 * nanoseconds (written by whoever comes first). So a test may write the microphone's future while a program
 * records, and read from the speaker's past exactly what was heard, to the sample, whatever the load.
 *
 *   - Capture reads the file at the moment of the transfer; what is not there is silence.
 *   - Playback writes each sample where it will sound, and erases what a stop kept from sounding.
 *   - Under- and overrun are -EPIPE as on a kernel PCM with default thresholds.
 *   - While dir/{mic,speaker}.unplug (or dir/unplug) exists there is no such device (ENODEV), and a PCM that
 *     was open is dead for good. With .busy, opening fails with EBUSY, as does any second open; with .hostdown
 *     with EHOSTDOWN, with .denied with EACCES; with .refuse it opens, and takes no parameters (EINVAL).
 *     With .stall the card's clock stands still, its poll descriptor too.
 *   - With .eio everything fails with EIO, as behind a sound server that died; with .suspend an open PCM is
 *     suspended (ESTRPIPE) for good; with .storm every period is an xrun. With .crumbs a microphone hands over
 *     what it has whenever it is asked, instead of whole periods.
 *   - With `echo PERCENT` in the microphone's definition it hears the speaker, `echo_frames` (960) later and at so
 *     much of its amplitude: an open speaker in a very small room. Both sides then are mono S16_LE, of one rate.
 *   - dir/{mic,speaker}.log gets a line "FRAME EVENT" at each open, start, stop, xrun, unplug and close.
 */
#define _GNU_SOURCE
#define PIC 1 /* makes SND_PCM_PLUGIN_SYMBOL export the version that dlopen looks for */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <ctype.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define LISTED 16               /* how many rates, formats or channels a card may offer */
#define STALL_POLL_NS (NS / 100) /* how often a stalled card looks whether it may go on */
#define LOOK_NS (NS / 500)       /* how often it looks for .stall and .unplug: a file is dear to look for */

struct card {
	snd_pcm_ioplug_t io;
	char dir[512];
	const char *side;  /* "mic" or "speaker" */
	int file, log;
	int speaker;       /* what a microphone with an echo hears */
	long echo, echo_frames;
	int lock;          /* flock held while open: a second open is EBUSY, also from another process */
	int timer;         /* what poll() waits for */
	int64_t epoch_ns;
	unsigned rate, frame_bytes;
	int64_t base;      /* timeline frame of the stream's first frame (appl_ptr 0) */
	int64_t hw;        /* frames of this stream captured or sounded, as last reported */
	int64_t stalled_ns;
	int64_t looked_ns; /* when .stall and .unplug were looked for last, and the second was there */
	int unplugged, eio, suspended, storm, crumbs;
	int64_t armed_ns;  /* what the timer is set to */
	snd_pcm_uframes_t avail_min;
	char *held;        /* what was written before the start: where it sounds is not known yet */
};

static int exists(const struct card *c, const char *what)
{
	char path[600];

	snprintf(path, sizeof path, "%s/%s.%s", c->dir, c->side, what);
	if (!access(path, F_OK))
		return 1;
	snprintf(path, sizeof path, "%s/%s", c->dir, what);
	return !access(path, F_OK);
}

static int open_in_dir(struct card *c, const char *side, const char *suffix, int flags)
{
	char path[600];

	snprintf(path, sizeof path, "%s/%s.%s", c->dir, side, suffix);
	return open(path, flags | O_CREAT | O_CLOEXEC, 0666);
}

static int64_t now_ns(struct card *c)
{
	struct timespec t;

	int64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = t.tv_sec * NS + t.tv_nsec;
	if (now - c->looked_ns >= LOOK_NS) {
		c->looked_ns = now;
		c->unplugged = exists(c, "unplug");
		c->eio = exists(c, "eio");
		c->suspended = exists(c, "suspend");
		c->storm = exists(c, "storm");
		c->crumbs = exists(c, "crumbs");
		if (!exists(c, "stall"))
			c->stalled_ns = 0;
		else if (!c->stalled_ns)
			c->stalled_ns = now;
	}
	return c->stalled_ns ? c->stalled_ns : now;
}

/* The frame that sounds at `ns`. Seconds and rest apart, so that nothing overflows. */
static int64_t frame_at(const struct card *c, int64_t ns)
{
	int64_t since = ns - c->epoch_ns;

	return since / NS * c->rate + since % NS * c->rate / NS;
}

/* The first nanosecond at which frame_at() is `frame`. */
static int64_t ns_at(const struct card *c, int64_t frame)
{
	return c->epoch_ns + frame / c->rate * NS + (frame % c->rate * NS + c->rate - 1) / c->rate;
}

static void note(struct card *c, int64_t frame, const char *event)
{
	char line[64];
	int length = snprintf(line, sizeof line, "%lld %s\n", (long long)frame, event);

	if (write(c->log, line, length) < 0)
		perror("pivoice bed: log");
}

static void set_timer(struct card *c, int64_t at_ns) /* 0: never; in the past: now */
{
	struct itimerspec spec = {.it_value = {at_ns / NS, at_ns % NS}};

	if (at_ns == c->armed_ns)
		return;
	c->armed_ns = at_ns;
	timerfd_settime(c->timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* Make the poll descriptor readable when avail_min will be reached (at once if it is). */
static void arm(struct card *c)
{
	int64_t ahead = c->io.appl_ptr, period = c->io.period_size, at = 0;
	int playback = c->io.stream == SND_PCM_STREAM_PLAYBACK;
	struct timespec t;

	if (c->io.state == SND_PCM_STATE_RUNNING && playback)
		at = ns_at(c, c->base + ahead + c->avail_min - (int64_t)c->io.buffer_size);
	else if (c->io.state == SND_PCM_STATE_RUNNING)
		at = ns_at(c, c->base + (ahead + (int64_t)c->avail_min + period - 1) / period * period);
	else if (c->io.state == SND_PCM_STATE_DRAINING)
		at = ns_at(c, c->base + ahead);
	else if (c->io.state == SND_PCM_STATE_PREPARED) /* a microphone not started wakes nobody, as in the kernel */
		at = playback && c->io.buffer_size - ahead >= c->avail_min;
	else if (c->io.state == SND_PCM_STATE_XRUN || c->io.state == SND_PCM_STATE_DISCONNECTED
		 || c->io.state == SND_PCM_STATE_SUSPENDED)
		at = 1;
	if (at && c->stalled_ns) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		at = t.tv_sec * NS + t.tv_nsec + STALL_POLL_NS;
	}
	set_timer(c, at);
}

/* Where the card is now, in frames of this stream; -EPIPE when it ran over or dry. */
static snd_pcm_sframes_t bed_pointer(snd_pcm_ioplug_t *io)
{
	struct card *c = io->private_data;
	int64_t hw = c->hw, now = frame_at(c, now_ns(c));
	int playback = io->stream == SND_PCM_STREAM_PLAYBACK;

	if (io->state == SND_PCM_STATE_XRUN)
		return -EPIPE;
	if (c->eio || (c->suspended && io->state == SND_PCM_STATE_RUNNING)) {
		note(c, now, c->eio ? "eio" : "suspend");
		snd_pcm_ioplug_set_state(io, c->eio ? SND_PCM_STATE_XRUN : SND_PCM_STATE_SUSPENDED);
		arm(c);
		return c->eio ? -EIO : -ESTRPIPE;
	}
	if (io->state != SND_PCM_STATE_OPEN && io->state != SND_PCM_STATE_DISCONNECTED && c->unplugged) {
		note(c, now, "unplug");
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
	}
	if (io->state == SND_PCM_STATE_RUNNING || io->state == SND_PCM_STATE_DRAINING)
		hw = now > c->base ? now - c->base : 0;
	if (io->state == SND_PCM_STATE_DRAINING && playback && hw > (int64_t)io->appl_ptr)
		hw = io->appl_ptr;
	if (io->state == SND_PCM_STATE_RUNNING
	    && (hw >= (int64_t)(io->appl_ptr + (playback ? 0 : io->buffer_size))
		|| (c->storm && hw >= (int64_t)io->period_size))) {
		note(c, now, "xrun");
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_XRUN);
		arm(c);
		return -EPIPE;
	}
	/* A microphone hands over whole periods, as its interrupts would: by single frames, libasound's
	 * blocking read never waits, and reads frame after frame with all the CPU there is. */
	c->hw = playback || c->crumbs ? hw : hw - hw % (int64_t)(io->period_size ? io->period_size : 1);
	arm(c);
	return c->hw;
}

static void add_echo(struct card *c, int16_t *mic, size_t frames, int64_t first)
{
	int16_t heard[1024];

	for (size_t done = 0, part; c->echo && done < frames; done += part) {
		part = frames - done < 1024 ? frames - done : 1024;
		ssize_t got = pread(c->speaker, heard, part * 2, (first + (int64_t)done - c->echo_frames) * 2);
		for (ssize_t i = 0; i < got / 2; i++) {
			long sum = mic[done + i] + heard[i] * c->echo / 100;
			mic[done + i] = sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum;
		}
	}
}

static snd_pcm_sframes_t bed_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
				      snd_pcm_uframes_t offset, snd_pcm_uframes_t frames)
{
	struct card *c = io->private_data;
	char *bytes = (char *)areas->addr + (areas->first + areas->step * offset) / 8;
	size_t size = frames * c->frame_bytes;
	off_t at = (c->base + (int64_t)io->appl_ptr) * c->frame_bytes;
	ssize_t got = 0;

	if (io->stream == SND_PCM_STREAM_CAPTURE) {
		got = pread(c->file, bytes, size, at);
		memset(bytes + (got > 0 ? got : 0), 0, size - (got > 0 ? got : 0));
		add_echo(c, (int16_t *)bytes, frames, c->base + (int64_t)io->appl_ptr);
	} else if (io->state == SND_PCM_STATE_PREPARED) {
		memcpy(c->held + io->appl_ptr * c->frame_bytes, bytes, size);
	} else {
		got = pwrite(c->file, bytes, size, at);
	}
	return got < 0 ? -errno : (snd_pcm_sframes_t)frames;
}

static int bed_start(snd_pcm_ioplug_t *io)
{
	struct card *c = io->private_data;
	int playback = io->stream == SND_PCM_STREAM_PLAYBACK;

	c->base = frame_at(c, now_ns(c)) + playback; /* the frame sounding now cannot be changed any more */
	c->hw = 0;
	note(c, c->base, "start");
	if (playback && pwrite(c->file, c->held, io->appl_ptr * c->frame_bytes, c->base * c->frame_bytes) < 0)
		return -errno;
	set_timer(c, 1); /* the state becomes RUNNING after this; the first poll_revents() arms it well */
	return 0;
}

/* Drop, or the end of a drain: what has not sounded yet never will. */
static int bed_stop(snd_pcm_ioplug_t *io)
{
	struct card *c = io->private_data;
	int64_t heard = c->base > frame_at(c, now_ns(c)) ? c->base : frame_at(c, now_ns(c)) + 1;
	off_t end = (c->base + (int64_t)io->appl_ptr) * c->frame_bytes;
	static const char zeros[65536];
	if (io->state != SND_PCM_STATE_RUNNING && io->state != SND_PCM_STATE_DRAINING)
		return 0;
	note(c, heard, "stop");
	if (io->stream == SND_PCM_STREAM_CAPTURE)
		return 0;
	for (off_t at = heard * c->frame_bytes; at < end; at += sizeof zeros)
		if (pwrite(c->file, zeros, end - at < (off_t)sizeof zeros ? end - at : (off_t)sizeof zeros, at) < 0)
			return -errno;
	return 0;
}

static int bed_prepare(snd_pcm_ioplug_t *io)
{
	struct card *c = io->private_data;

	c->hw = 0;
	set_timer(c, io->stream == SND_PCM_STREAM_PLAYBACK); /* room at once */
	return exists(c, "unplug") ? -ENODEV : exists(c, "eio") ? -EIO : exists(c, "suspend") ? -ESTRPIPE : 0;
}

static int bed_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *params)
{
	struct card *c = io->private_data;

	char text[64];
	int file = open_in_dir(c, c->side, "params", O_WRONLY | O_TRUNC);
	int length = snprintf(text, sizeof text, "%u %u %s\n", io->rate, io->channels, snd_pcm_format_name(io->format));

	(void)params;
	if (file < 0 || write(file, text, length) < 0)
		return -errno;
	close(file);
	if (exists(c, "refuse"))
		return -EINVAL;
	c->rate = io->rate;
	c->frame_bytes = snd_pcm_format_physical_width(io->format) / 8 * io->channels;
	c->avail_min = io->period_size;
	free(c->held);
	c->held = calloc(io->buffer_size, c->frame_bytes);
	return c->held ? 0 : -ENOMEM;
}

static int bed_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *params)
{
	return snd_pcm_sw_params_get_avail_min(params, &((struct card *)io->private_data)->avail_min);
}

static int bed_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned int count, unsigned short *revents)
{
	struct card *c = io->private_data;
	snd_pcm_sframes_t hw = bed_pointer(io), avail = hw - (snd_pcm_sframes_t)io->appl_ptr;
	int playback = io->stream == SND_PCM_STREAM_PLAYBACK;

	(void)fds, (void)count;
	if (playback)
		avail += io->buffer_size;
	*revents = 0;
	if (io->state == SND_PCM_STATE_DISCONNECTED)
		*revents = POLLERR | POLLNVAL;
	else if (hw < 0)
		*revents = POLLERR;
	else if (!c->stalled_ns && (avail >= (snd_pcm_sframes_t)c->avail_min || io->state == SND_PCM_STATE_DRAINING))
		*revents = playback ? POLLOUT : POLLIN;
	return 0;
}

static void release(struct card *c)
{
	int fds[] = {c->lock, c->file, c->log, c->timer, c->speaker};

	for (int i = 0; i < 5; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(c->held);
	free(c);
}

static int bed_close(snd_pcm_ioplug_t *io)
{
	note(io->private_data, frame_at(io->private_data, now_ns(io->private_data)), "close");
	release(io->private_data);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = bed_start, .stop = bed_stop, .pointer = bed_pointer, .transfer = bed_transfer, .close = bed_close,
	.hw_params = bed_hw_params, .sw_params = bed_sw_params, .prepare = bed_prepare,
	.poll_revents = bed_poll_revents,
};

/* Read dir/epoch; the first to come writes it. */
static int find_epoch(struct card *c)
{
	char path[600], text[32] = "";
	int fd;

	snprintf(path, sizeof path, "%s/epoch", c->dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
	if (fd < 0 || flock(fd, LOCK_EX))
		return -errno;
	if (read(fd, text, sizeof text - 1) <= 0) {
		snprintf(text, sizeof text, "%lld\n", (long long)now_ns(c));
		if (write(fd, text, strlen(text)) < 0)
			return -errno;
	}
	close(fd); /* and unlock */
	c->epoch_ns = atoll(text);
	return 0;
}

static int open_files(struct card *c, int playback)
{
	static const struct { const char *switch_; int error; } refusals[] = {
		{"unplug", ENODEV}, {"busy", EBUSY}, {"hostdown", EHOSTDOWN}, {"denied", EACCES}, {"eio", EIO},
	};

	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		if (exists(c, refusals[i].switch_))
			return -refusals[i].error;
	c->lock = open_in_dir(c, c->side, "lock", O_RDWR);
	if (c->lock < 0)
		return -errno;
	if (flock(c->lock, LOCK_EX | LOCK_NB))
		return -EBUSY;
	c->file = open_in_dir(c, c->side, "raw", playback ? O_RDWR : O_RDONLY);
	c->log = open_in_dir(c, c->side, "log", O_WRONLY | O_APPEND);
	c->speaker = c->echo ? open_in_dir(c, "speaker", "raw", O_RDONLY) : -1;
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (c->file < 0 || c->log < 0 || c->timer < 0 || (c->echo && c->speaker < 0))
		return -errno;
	return find_epoch(c);
}

/* What the card can do: rates, formats, numbers of channels, and periods of 1 ms to 1 s. */
static int constrain(struct card *c, unsigned rates[2][LISTED], unsigned formats[2][LISTED], unsigned channels[2][LISTED])
{
	unsigned access[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED};
	struct { int what; unsigned count, *values; } lists[] = {
		{SND_PCM_IOPLUG_HW_ACCESS, 2, access},
		{SND_PCM_IOPLUG_HW_FORMAT, formats[0][0], formats[1]},
		{SND_PCM_IOPLUG_HW_CHANNELS, channels[0][0], channels[1]},
		{SND_PCM_IOPLUG_HW_RATE, rates[0][0], rates[1]},
	};
	unsigned low = -1, high = 0;
	int err = 0;

	for (unsigned i = 0; i < rates[0][0] * formats[0][0] * channels[0][0]; i++) {
		unsigned bytes_s = rates[1][i % rates[0][0]]
			* snd_pcm_format_physical_width(formats[1][i / rates[0][0] % formats[0][0]]) / 8
			* channels[1][i / rates[0][0] / formats[0][0]];

		low = bytes_s < low ? bytes_s : low;
		high = bytes_s > high ? bytes_s : high;
	}
	for (int i = 0; err >= 0 && i < 4; i++)
		err = snd_pcm_ioplug_set_param_list(&c->io, lists[i].what, lists[i].count, lists[i].values);
	if (err >= 0)
		err = snd_pcm_ioplug_set_param_minmax(&c->io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, low / 1000, high);
	if (err >= 0)
		err = snd_pcm_ioplug_set_param_minmax(&c->io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, low / 500, 2 * high);
	return err < 0 ? err : snd_pcm_ioplug_set_param_minmax(&c->io, SND_PCM_IOPLUG_HW_PERIODS, 2, 1024);
}

/* Read a list of numbers or formats ("16000 48000"): list[0][0] is how many there are, list[1] are they. */
static void read_list(snd_config_t *conf, const char *key, const char *otherwise, unsigned list[2][LISTED])
{
	snd_config_t *entry;
	char *text = NULL, *rest, *word;

	if (snd_config_search(conf, key, &entry) || snd_config_get_ascii(entry, &text) < 0)
		text = strdup(otherwise);
	list[0][0] = 0;
	for (word = strtok_r(text, " ", &rest); word && list[0][0] < LISTED; word = strtok_r(NULL, " ", &rest))
		list[1][list[0][0]++] = isdigit(*word) ? (unsigned)atoi(word) : (unsigned)snd_pcm_format_value(word);
	free(text);
}

static long integer(snd_config_t *conf, const char *key, long value)
{
	snd_config_t *entry;

	if (!snd_config_search(conf, key, &entry))
		snd_config_get_integer(entry, &value);
	return value;
}

static const char *string(snd_config_t *conf, const char *key, const char *value)
{
	snd_config_t *entry;

	if (!snd_config_search(conf, key, &entry))
		snd_config_get_string(entry, &value);
	return value;
}

SND_PCM_PLUGIN_DEFINE_FUNC(pivoice)
{
	struct card *c = calloc(1, sizeof *c);
	int playback = stream == SND_PCM_STREAM_PLAYBACK, err;
	unsigned rates[2][LISTED], formats[2][LISTED], channels[2][LISTED];

	(void)root;
	if (!c)
		return -ENOMEM;
	c->lock = c->file = c->log = c->timer = c->speaker = -1;
	c->side = playback ? "speaker" : "mic";
	read_list(conf, "rate", "48000", rates);
	read_list(conf, "format", "S16_LE", formats);
	read_list(conf, "channels", "1", channels);
	c->rate = rates[1][0];
	c->echo = playback ? 0 : integer(conf, "echo", 0);
	c->echo_frames = integer(conf, "echo_frames", 960);
	snprintf(c->dir, sizeof c->dir, "%s", string(conf, "dir", "."));
	c->io.version = SND_PCM_IOPLUG_VERSION;
	c->io.name = "pivoice test bed";
	c->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC | SND_PCM_IOPLUG_FLAG_BOUNDARY_WA;
	c->io.callback = &callbacks;
	c->io.private_data = c;
	c->io.poll_events = POLLIN;
	err = open_files(c, playback);
	c->io.poll_fd = c->timer;
	if (err >= 0)
		err = snd_pcm_ioplug_create(&c->io, name, stream, mode);
	if (err < 0) {
		release(c);
		return err;
	}
	note(c, frame_at(c, now_ns(c)), "open");
	err = constrain(c, rates, formats, channels);
	if (err < 0)
		snd_pcm_ioplug_delete(&c->io); /* calls bed_close */
	else
		*pcmp = c->io.pcm;
	return err < 0 ? err : 0;
}
SND_PCM_PLUGIN_SYMBOL(pivoice);
