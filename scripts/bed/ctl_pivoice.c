/* A sound card's mixer made of files: the test bed's volume controls below the real libasound.
 *
 *     ctl.NAME { type pivoice; dir "/path" }
 *
 * dir/mixer.controls tells what there is, a line each; without the file there is nothing:
 *
 *     volume|switch CHANNELS MIN MAX MIN_DB STEP_DB MUTE NAME...
 *
 * such as "volume 2 0 127 -6350 50 0 PCM Playback Volume": in 0.01 dB; a STEP_DB of 0 is a control that tells
 * none; with a MUTE of 1 the lowest step is off. The values lie in dir/mixer.values, 8 int32 for each line,
 * and are read and written each time, so that a test, or another process, is the other hand on the control.
 *
 *   - While dir/mixer.unplug exists there is no such card (ENODEV). With .eio it answers everything so.
 *   - With .stall whoever asks it or moves it waits until the file is gone, as for a USB transfer.
 *   - dir/mixer.log gets a line "NAME VALUE..." for each write.
 */
#define _GNU_SOURCE
#define PIC 1 /* makes SND_CTL_PLUGIN_SYMBOL export the version that dlopen looks for */
#include <alsa/asoundlib.h>
#include <alsa/control_external.h>
#include <fcntl.h>
#include <unistd.h>

#define MOST 32     /* controls of a card */
#define CHANNELS 8
#define LOOK_US 2000

struct control {
	int type, channels, min, max, min_db, step_db, mute;
	char name[44];
};

struct mixer {
	snd_ctl_ext_t ext;
	char dir[512];
	int values, count;
	struct control controls[MOST];
};

static int exists(const struct mixer *m, const char *what)
{
	char path[600];

	snprintf(path, sizeof path, "%s/mixer.%s", m->dir, what);
	return !access(path, F_OK);
}

/* Return what the card has to say before it does anything. */
static int answer(const struct mixer *m)
{
	while (exists(m, "stall"))
		usleep(LOOK_US);
	return exists(m, "unplug") ? -ENODEV : exists(m, "eio") ? -EIO : 0;
}

static void close_mixer(snd_ctl_ext_t *ext)
{
	struct mixer *m = ext->private_data;

	close(m->values);
	free(m);
}

static int elem_count(snd_ctl_ext_t *ext)
{
	return ((struct mixer *)ext->private_data)->count;
}

static int elem_list(snd_ctl_ext_t *ext, unsigned int offset, snd_ctl_elem_id_t *id)
{
	struct mixer *m = ext->private_data;

	snd_ctl_elem_id_set_interface(id, SND_CTL_ELEM_IFACE_MIXER);
	snd_ctl_elem_id_set_name(id, m->controls[offset].name);
	return 0;
}

static snd_ctl_ext_key_t find_elem(snd_ctl_ext_t *ext, const snd_ctl_elem_id_t *id)
{
	struct mixer *m = ext->private_data;
	unsigned int numid = snd_ctl_elem_id_get_numid(id);

	if (numid > 0 && numid <= (unsigned)m->count)
		return numid - 1;
	for (int i = 0; i < m->count; i++)
		if (!strcmp(m->controls[i].name, snd_ctl_elem_id_get_name(id)))
			return i;
	return SND_CTL_EXT_KEY_NOT_FOUND;
}

static int get_attribute(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, int *type, unsigned int *access,
			 unsigned int *count)
{
	const struct control *c = &((struct mixer *)ext->private_data)->controls[key];

	*type = c->type;
	*access = SND_CTL_EXT_ACCESS_READWRITE;
	if (c->step_db)
		*access |= SND_CTL_EXT_ACCESS_TLV_READ | SND_CTL_EXT_ACCESS_TLV_CALLBACK;
	*count = c->channels;
	return 0;
}

static int get_integer_info(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *min, long *max, long *step)
{
	const struct control *c = &((struct mixer *)ext->private_data)->controls[key];

	*min = c->min;
	*max = c->max;
	*step = 1;
	return 0;
}

static int tlv(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, int op, unsigned int numid, unsigned int *tlv,
	       unsigned int size)
{
	const struct control *c = &((struct mixer *)ext->private_data)->controls[key];

	if (op || size < 4 * sizeof *tlv)
		return -EINVAL;
	tlv[0] = SND_CTL_TLVT_DB_SCALE;
	tlv[1] = 2 * sizeof *tlv;
	tlv[2] = c->min_db;
	tlv[3] = c->step_db | c->mute << 16;
	return 0;
}

static int read_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
	struct mixer *m = ext->private_data;
	int32_t found[CHANNELS] = { 0 };
	int error = answer(m);

	if (error)
		return error;
	if (pread(m->values, found, sizeof found, key * sizeof found) < 0)
		return -errno;
	for (int i = 0; i < m->controls[key].channels; i++)
		value[i] = found[i];
	return 0;
}

static int write_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
	struct mixer *m = ext->private_data;
	int32_t wanted[CHANNELS] = { 0 };
	char path[600], line[200];
	int error = answer(m), log, at;

	if (error)
		return error;
	at = snprintf(line, sizeof line, "%s", m->controls[key].name);
	for (int i = 0; i < m->controls[key].channels; i++) {
		wanted[i] = value[i];
		at += snprintf(line + at, sizeof line - at, " %ld", value[i]);
	}
	if (pwrite(m->values, wanted, sizeof wanted, key * sizeof wanted) < 0)
		return -errno;
	line[at++] = '\n';
	snprintf(path, sizeof path, "%s/mixer.log", m->dir);
	if ((log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666)) >= 0) {
		if (write(log, line, at) < 0)
			perror(path);
		close(log);
	}
	return 1;
}

static int read_event(snd_ctl_ext_t *ext, snd_ctl_elem_id_t *id, unsigned int *mask)
{
	return -EAGAIN;
}

static const snd_ctl_ext_callback_t callbacks = {
	.close = close_mixer,
	.elem_count = elem_count,
	.elem_list = elem_list,
	.find_elem = find_elem,
	.get_attribute = get_attribute,
	.get_integer_info = get_integer_info,
	.read_integer = read_integer,
	.write_integer = write_integer,
	.read_event = read_event,
};

static int read_controls(struct mixer *m)
{
	char path[600], line[200], kind[10];
	FILE *file;
	int at;

	snprintf(path, sizeof path, "%s/mixer.controls", m->dir);
	if (!(file = fopen(path, "re")))
		return -errno;
	while (m->count < MOST && fgets(line, sizeof line, file)) {
		struct control *c = &m->controls[m->count];

		if (sscanf(line, "%9s %d %d %d %d %d %d %n", kind, &c->channels, &c->min, &c->max, &c->min_db,
			   &c->step_db, &c->mute, &at) < 7)
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(c->name, sizeof c->name, "%.43s", line + at);
		c->type = strcmp(kind, "switch") ? SND_CTL_ELEM_TYPE_INTEGER : SND_CTL_ELEM_TYPE_BOOLEAN;
		m->count++;
	}
	fclose(file);
	return 0;
}

SND_CTL_PLUGIN_DEFINE_FUNC(pivoice)
{
	snd_config_iterator_t i, next;
	const char *dir = NULL, *id;
	char path[600];
	struct mixer *m;
	int error;

	snd_config_for_each(i, next, conf) {
		snd_config_t *n = snd_config_iterator_entry(i);

		if (snd_config_get_id(n, &id) < 0 || strcmp(id, "dir"))
			continue;
		snd_config_get_string(n, &dir);
	}
	if (!dir || !(m = calloc(1, sizeof *m)))
		return dir ? -ENOMEM : -EINVAL;
	snprintf(m->dir, sizeof m->dir, "%s", dir);
	snprintf(path, sizeof path, "%s/mixer.values", dir);
	m->values = -1;
	if ((error = answer(m)) < 0 || (error = read_controls(m)) < 0)
		goto failed;
	if ((m->values = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0) {
		error = -errno;
		goto failed;
	}
	m->ext.version = SND_CTL_EXT_VERSION;
	m->ext.card_idx = 0;
	m->ext.poll_fd = -1;
	m->ext.callback = &callbacks;
	m->ext.private_data = m;
	m->ext.tlv.c = tlv;
	strcpy(m->ext.id, "bed");
	strcpy(m->ext.driver, "bed");
	strcpy(m->ext.name, "test bed");
	strcpy(m->ext.longname, "test bed");
	strcpy(m->ext.mixername, "test bed");
	if ((error = snd_ctl_ext_create(&m->ext, name, mode)) < 0)
		goto failed;
	*handlep = m->ext.handle;
	return 0;
failed:
	if (m->values >= 0)
		close(m->values);
	free(m);
	return error;
}

SND_CTL_PLUGIN_SYMBOL(pivoice);
