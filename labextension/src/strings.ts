/** Every text the browser shows; the kernel sends them, already in the person's language. */

export interface Strings {
  readonly status_running: string;
  readonly status_paused: string;
  readonly status_finished: string;
  readonly status_stopped: string;
  readonly status_failed: string;
  readonly status_lost: string;
  readonly status_waiting: string;
  readonly step_of: string;
  readonly step_only: string;
  readonly epoch_of: string;
  readonly epoch_only: string;
  readonly elapsed: string;
  readonly time_left: string;
  readonly progress: string;
  readonly pause: string;
  readonly resume: string;
  readonly stop: string;
  readonly pausing: string;
  readonly resuming: string;
  readonly stopping: string;
  readonly command_slow: string;
  readonly command_refused: string;
  readonly controls_queued: string;
  readonly controls_none: string;
  readonly controls_paused: string;
  readonly controls_terminal: string;
  readonly copy: string;
  readonly copied: string;
  readonly no_news: string;
  readonly never_heard: string;
  readonly what_is_this: string;
  readonly recorded_as: string;
  readonly value_now: string;
  readonly value_range: string;
  readonly unknown_now: string;
  readonly charts: string;
  readonly latest_values: string;
  readonly table: string;
  readonly table_caption: string;
  readonly table_chart: string;
  readonly table_series: string;
  readonly table_latest: string;
  readonly table_lowest: string;
  readonly table_highest: string;
  readonly log_scale: string;
  readonly log_scale_title: string;
  readonly reset_zoom: string;
  readonly reset_zoom_title: string;
  readonly keys_title: string;
  readonly keys_text: string;
  readonly no_values_yet: string;
  readonly chart_label: string;
  readonly chart_summary: string;
  readonly cursor_step: string;
  readonly cursor_time: string;
}

/** The text with {name} replaced by its value. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
