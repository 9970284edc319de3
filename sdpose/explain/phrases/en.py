"""English."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    # Names of the classes, and of where a tensor lives.
    "cause.data": "DATA",
    "cause.state": "STATE",
    "cause.numerics": "NUMERICS",
    "cause.hardware": "HARDWARE",
    "cause.settings": "SETTINGS",
    "cause.not_reproduced": "NOT REPRODUCED",
    "cause.suspected": "NOT REPRODUCED, {cause} SUSPECTED",
    "cause.none": "UNCLEAR",
    "phase.target": "target",
    "phase.weights": "weights",
    "phase.forward": "forward",
    "phase.loss": "loss",
    "phase.backward": "backward",
    "phase.optimizer": "optimizer",
    # Headings of the page.
    "page.incident": "{kind} at iteration {iteration}",
    "page.asked": "iteration {iteration}",
    "page.seen": "{metric} was {value}",
    "page.samples": "Where to look",
    "page.experiments": "Experiments",
    "page.ruled_out": "Ruled out",
    "page.actions": "What to do",
    "page.notes": "Limits of this answer",
    "page.replaying": "playing iterations again",
    "page.sample": "image {image}, annotation {annotation} ({file})",
    "page.written": "written to {path}",
    "page.based_on": "from {source}, on {machine}, in {seconds:.0f} s",
    # Experiments.
    "ask.same_again": "The same batch from the same state, iteration {iteration}?",
    "answer.comes_again": "{times} of {tries} times: {name} is {value}",
    "answer.comes_now_and_then": "only {times} of {tries} times; the same numbers give different results",
    "ask.float32": "Without mixed precision (now {now})?",
    "ask.float64": "In float64 (now {now})?",
    "answer.precision_heals": "well in {precision}",
    "answer.shows_too": "the same fault ({value})",
    "ask.earlier_weights": "The same batch with the weights of iteration {iteration}?",
    "ask.previous_weights": "The same batch with the weights of iteration {iteration}?",
    "ask.fresh_weights": "The same batch with fresh random weights?",
    "answer.earlier_healthy": "well",
    "answer.previous_healthy": "well: the step of iteration {iteration} made the difference",
    "answer.fresh_unclear": "{value}, which says nothing for fresh weights",
    "ask.other_batches": "{num} other batches with these weights?",
    "answer.others_healthy": "all well",
    "answer.others_faulty": "all {tries} show the fault",
    "answer.others_some": "{faulty} of {tries} show the fault",
    "ask.halves": "Halves of the batch, down to single samples?",
    "answer.no_half": "no part of the batch shows it alone ({passes} passes)",
    "answer.every_part": "every part of the batch shows it ({passes} passes)",
    "answer.rest_faulty": "{num} samples show it, but so does the batch without them ({passes} passes)",
    "answer.samples": "{num} of {size} samples show it alone, and the batch without them is well ({passes} "
    "passes)",
    "answer.samples_together": "only {num} of {size} samples side by side show it; without them the batch is "
    "well ({passes} passes)",
    "ask.targets": "Targets, joints and pictures of the batch?",
    "answer.targets_sane": "all {size} are finite and in range",
    "answer.targets_odd": "odd among {size} samples: {odd}",
    "ask.layers": "Target, weights, forward, loss and backward, tensor by tensor?",
    "answer.layers_well": "all {num} tensors are finite and of their usual size",
    "answer.layer_non_finite": "first not finite: {layer} ({phase}), {value}",
    "answer.layer_extreme": "first extreme: {layer} ({phase}), {value} instead of {usual}",
    "ask.state": "Weights, statistics and moments before the iteration?",
    "answer.state_broken": "{num} tensors are not finite, first {first}",
    "answer.state_finite": "all {num} tensors are finite",
    "ask.previous_batch": "The large gradient of the step before, iteration {iteration}?",
    "answer.gradient_of_all": "its norm was {norm} instead of {usual}, but no single sample made it",
    "answer.gradient_no_cure": "{num} samples made it ({norm} instead of {usual}), but without them the fault "
    "comes too",
    "answer.gradient_of_samples": "{num} samples made it ({norm} instead of {usual}); without them the fault "
    "stays away",
    "ask.step_size": "How long might the step of iteration {iteration} have been?",
    "answer.no_direction": "no finite gradient to go along",
    "answer.no_stable_lr": "at no learning rate does the loss stay below twice what it was ({before})",
    "answer.lr_too_high": "the loss doubles from a learning rate of {stable} on; it was {lr}, {times} times "
    "that (loss {before} -> {after})",
    "answer.lr_cliff": "the loss is no number from a learning rate of {stable} on, without growing before; it "
    "was {lr}",
    "answer.lr_stable": "stable up to a learning rate of {stable}; it was {lr}",
    "ask.what_if.lr": "The same iterations with a learning rate of {new} instead of {old}?",
    "ask.what_if.max_norm": "The same iterations with max_norm {new} instead of {old}?",
    "ask.what_if.weight_decay": "The same iterations with weight_decay 0 instead of {old}?",
    "ask.what_if.fresh_moments": "The same step when the optimizer has averaged nothing yet?",
    "answer.stays_away": "the fault stays away",
    "answer.no_time": "not made, time was up",
    "answer.failed": "could not be made: {reason}",
    # What is odd about a sample.
    "odd.unreadable": "its picture cannot be used ({problem})",
    "odd.unreadable.short": "picture that cannot be used",
    "odd.joints_not_finite": "joints whose coordinates are not finite: {joints}",
    "odd.joints_not_finite.short": "joints that are not finite",
    "odd.target_not_finite": "its target heatmaps are not finite",
    "odd.target_not_finite.short": "target that is not finite",
    "odd.target_range": "its target heatmaps reach from {low:.3g} to {high:.3g}, expected 0 to 1",
    "odd.target_range.short": "target outside 0 to 1",
    "odd.joints_far": "a joint lies {times:.3g} crop sizes away from the crop's centre",
    "odd.joints_far.short": "joint far outside its crop",
    "odd.nothing_visible": "none of its {labelled} labelled joints lies in the crop, so all its weights are 0",
    "odd.nothing_visible.short": "no visible joint",
    "odd.flat_picture": "its crop shows one colour only (spread {spread:.2g} of 255)",
    "odd.flat_picture.short": "crop of one colour",
    "odd.no_box": "no box of the box file lies on any of its persons ({persons})",
    "odd.nothing": "alone it shows the fault, and without it the batch is well; its target, joints and picture "
    "look sane",
    # Verdicts.
    "verdict.data.one": "One sample brings the fault into iteration {onset}: image {image_id} ({file_name}); "
    "{reason}.",
    "verdict.data.some": "{num} samples bring the fault into iteration {onset}: images {images}.",
    "verdict.data.together": "{num} samples side by side bring the fault into iteration {onset}: images "
    "{images}.",
    "verdict.data.batch": "The batch of iteration {onset} shows the fault with other weights too, and no "
    "single sample of it is to blame.",
    "verdict.data.kick": "The gradient of {num} samples of iteration {step} threw the weights off: images "
    "{images}.",
    "verdict.state.tensors": "Iteration {onset} began with {num} tensors that are not finite, first {first}.",
    "verdict.state.moments": "What the optimizer had averaged spoils the step of iteration {onset}; without it "
    "the step is well.",
    "verdict.state.weights": "The weights before iteration {onset} show the fault with other batches too; with "
    "those of iteration {start} it is well, and neither learning rate nor clipping is to blame.",
    "verdict.state.sample": "Image {images} shows the fault, but only with the weights of iteration {onset}; "
    "there is nothing odd about it.",
    "verdict.state.pair": "The fault needs both the weights before iteration {onset} and its batch; no sample "
    "is to blame.",
    "verdict.numerics": "In {precision} the same batch and weights are well: it is a matter of rounding or "
    "range.",
    "verdict.hardware.never": "Iterations {first} to {last}, played again from the saved state, show no fault. "
    "That points to hardware, to a kernel that does not always give the same, or to something outside of the "
    "run.",
    "verdict.hardware.sometimes": "The same batch and weights show the fault only {times} of {tries} times: "
    "hardware, or a computation that is random.",
    "verdict.settings.lr": "The learning rate is too high: {lr} in iteration {step}, stable is up to {stable}; "
    "with {new} the same iterations are well.",
    "verdict.settings.lr_unproven": "The learning rate is too high: {lr} in iteration {step}, stable is up to "
    "{stable}.",
    "verdict.settings.max_norm": "Gradients are clipped too late: with max_norm {new} the same iterations are "
    "well.",
    "verdict.settings.weight_decay": "Weight decay does it: with 0 instead of {old} the same iterations are "
    "well.",
    "verdict.settings.everywhere": "The fault comes with every batch and with fresh weights: it lies in how "
    "the losses are computed or set ({name}).",
    "verdict.unclear": "The fault comes again in iteration {onset}, but the experiments do not tell why.",
    "verdict.place": " It begins in {layer} ({phase}).",
    # What was ruled out.
    "ruled.hardware": "hardware: {times} of {times} repetitions agree",
    "ruled.numerics": "numerics: {precision} shows it too",
    "ruled.state": "state: other weights show it too",
    "ruled.data_others": "data: all other batches show it too",
    "ruled.data_weights": "data: the same batch is well with other weights",
    "ruled.settings": "learning rate: {lr} is below {stable}, up to which steps are stable",
    # Actions.
    "action.exclude": "remove or correct annotation {annotation} of image {image_id} ({file_name}) in "
    "{ann_file}",
    "action.exclude_image": "remove or correct image {image_id} ({file_name}) in {ann_file}",
    "action.resume": "go on from before the fault: --resume-from {path}",
    "action.start_anew": "then start anew: the saved state is damaged already",
    "action.lr": "learning rate {old} -> {new} (--cfg-options optimizer.lr={new})",
    "action.warmup": "or a longer warm-up (lr_config.warmup_iters), if it happened in the first iterations",
    "action.max_norm": "max_norm {old} -> {new} (--cfg-options optimizer_config.grad_clip.max_norm={new})",
    "action.max_norm_dict": "max_norm none -> {new} (optimizer_config = dict(grad_clip=dict(max_norm={new}, "
    "norm_type=2)))",
    "action.weight_decay": "weight decay {old} -> 0 (--cfg-options optimizer.weight_decay=0)",
    "action.fp32": "mixed precision off (--cfg-options runtime.precision=fp32)",
    "action.float64": "compute {layer} in float64, or rewrite it so that no small difference of large numbers "
    "and no overflow arises",
    "action.earlier": "go on from an earlier checkpoint of {work_dir}; the weights of this one are damaged",
    "action.fresh_optimizer": "take the weights without the optimizer: --load-from {path}",
    "action.own_loss": "look at {name}: it is computed by your own code ({type})",
    "action.loss_setting": "look at the settings of {name} in model.keypoint_head",
    "action.again": "let the run go on (--resume-from {path}); if the fault comes back elsewhere, test the "
    "machine",
    "action.memory": "test memory and GPU: nvidia-smi -q -d ECC, dmesg, memtest; compare with another machine",
    "action.own_code": "own code with a state or random numbers of its own is not saved with a run: {files}",
    "action.compile": "the run was compiled, the replay was not: try runtime.compile=False",
    "action.guard_loss": "let {name} give a finite value where a sample has no visible joint or an empty map",
    # Limits.
    "note.no_time": "time was up before all experiments were made; `sdpose explain {folder}` makes them all",
    "note.not_reached": "only iterations {first} to {last} could be played again in the time there was",
    "note.nondeterministic": "on {device} some kernels add in changing order, so small differences are no sign "
    "of a fault",
    "note.other_incidents": "this run has other incidents: {names}",
    "note.no_incident": "the run wrote no incident; the fault was looked for up to iteration {iteration}",
    # Nothing stands out in the replay.
    "ask.replay": "The iterations before the alert, again?",
    "answer.replay_healthy": "iterations {first} to {last} show no fault: {name} is {value} at the end, the "
    "run saw {seen}",
    "answer.repeat_same": "{tries} times the same, to the last bit ({low})",
    "answer.repeat_vary": "{tries} times between {low} and {high}",
    "ask.log": "Does the replay agree with the log?",
    "answer.log_none": "no line of the log lies wholly within the replay",
    "answer.log_same": "yes, in all {num} lines, to the digits of the log",
    "answer.log_differs": "first differs at iteration {iteration}: loss {replayed}, logged {logged}",
    "verdict.nothing_wrong": "Nothing is wrong in iterations {first} to {last}, and the run kept no incident "
    "there.",
    "verdict.not_reached": "Time was up at iteration {last}, before the alert at {iteration}; no fault up to "
    "there.",
    "answer.rise_gone": "loss {end} at the end instead of {was}",
    "answer.rise_stays": "no better: loss {end} at the end, was {was}",
    "verdict.slow.lr": "The loss stays at {after}, far above its best of {before}; with a learning rate of "
    "{new} instead of {old} it falls at once.",
    "verdict.slow.unclear": "The loss is at {after}, its best was {before}; no single iteration and none of "
    "the changes tried explains it.",
    "verdict.slow.well": "Played again, the loss is at {after}, near its best of {before}; the run saw {seen}.",
    # Ranks.
    "ask.ranks": "The shares of all {num} ranks, in one process?",
    "answer.ranks_again": "the same difference: {here} (the run saw {there})",
    "answer.ranks_agree": "here they agree: {here} (the run saw {there})",
    "ask.share": "Targets, joints and pictures of rank {rank}?",
    "verdict.ranks.data": "The share of rank {rank} gives other losses on this machine too: its samples differ.",
    "verdict.ranks.machine": "The share of rank {rank} gives the same losses as the others here: its own "
    "process saw other files or computed something else.",
    "action.rank_files": "compare the files that rank {rank} reads ({root}) with those of the others, by "
    "checksum",
    # A run that does not learn.
    "ask.alive": "Do heatmaps have peaks, and do tokens look at the picture?",
    "answer.alive": "mean peak {peak}, {flat} of the maps without one; tokens differ by {spread}",
    "answer.dead": "no: mean peak {peak}, {flat} of the maps below {below}; tokens differ by {spread}",
    "ask.gradients": "Do gradients reach every parameter?",
    "answer.reached": "yes",
    "answer.unreached": "not {num} of them, first {first}",
    "ask.learn.as_it_is": "Are 8 samples learnt in {steps} steps as configured (lr {lr})?",
    "ask.learn.lower": "Far better with a tenth of the learning rate ({lr})?",
    "ask.learn.higher": "Far better with ten times the learning rate ({lr})?",
    "ask.learn.no_decay": "Far better with weight_decay 0 instead of {decay}?",
    "ask.learn.fresh": "Far better from fresh random weights?",
    "answer.learns": "yes: loss {first} -> {last} (empty heatmaps: {empty})",
    "answer.does_not_learn": "no: loss {first} -> {last} (empty heatmaps: {empty})",
    "verdict.learning.unreached": "{num} parameters get no gradient, first {first}: part of the model cannot "
    "learn.",
    "verdict.learning.data": "Model and settings are able to learn: 8 samples in {steps} steps. What holds the "
    "run up is the whole of the data: labels that do not fit their pictures, augmentation that is too strong, "
    "or too little time.",
    "verdict.learning.lower": "The learning rate is too high: 8 samples are learnt far better at {new} than at "
    "{lr}.",
    "verdict.learning.higher": "The learning rate is too low: 8 samples are learnt far better at {new} than at "
    "{lr}.",
    "verdict.learning.no_decay": "Weight decay of {decay} holds the weights down: without it 8 samples are "
    "learnt far better.",
    "verdict.learning.fresh": "These weights hardly learn any more; fresh ones do far better in as many steps.",
    "verdict.learning.unclear": "None of the changes tried learns 8 samples clearly better in {steps} steps. "
    "Near the start of a run that is usual (docs/plateau.md).",
    "action.check": "look at data and settings: sdpose check {config}",
    "action.labels": "look at the joints drawn into the pictures of {ann_file}, left and right, and their order",
    "action.anew": "start anew, with a longer warm-up",
    "action.plateau": "read docs/plateau.md: every SDPose begins flat",
    # The chain from files to AP.
    "ask.chain.files": "Annotations and boxes?",
    "answer.chain.files": "{images} images, {persons} persons, {boxes} boxes from {source}; ids fit",
    "answer.chain.files_broken": "{reason}",
    "ask.chain.pictures": "Pictures?",
    "answer.chain.pictures": "{tried} looked at, {num} unusable",
    "answer.chain.pictures_broken": "{num} of {tried} unusable, first {first}",
    "ask.chain.anatomy": "Do the annotated joints look like people?",
    "answer.chain.anatomy": "yes: limbs are {limbs} of all connections (0.5 is usual, 1 a wrong order), left "
    "and right exchanged in at least {exchanged}",
    "answer.chain.anatomy_broken": "no: limbs are {limbs} of all connections (0.5 is usual, 1 a wrong order), "
    "left and right exchanged in at least {exchanged}",
    "ask.chain.round_trip": "The truth through targets, decoding and evaluation?",
    "answer.chain.round_trip": "AP {ap} on {images} images",
    "answer.chain.round_trip_broken": "AP only {ap} on {images} images",
    "ask.chain.boxes": "Do the boxes lie on the annotated persons?",
    "answer.chain.boxes": "{recall} of the persons have one (by chance {chance}); the truth through them has "
    "AP {ap}",
    "answer.chain.boxes_annotated": "the annotated boxes themselves are used",
    "answer.chain.boxes_broken": "no: {recall} of the persons have one (by chance {chance}); the truth through "
    "them has AP {ap}",
    "answer.chain.boxes_reading": "no: {recall} of the persons have one; read as {reading}, {repaired}",
    "reading.corners": "left, top, right, bottom",
    "reading.centres": "centre and size",
    "reading.fractions": "fractions of the picture",
    "reading.rows_first": "top, left, height, width",
    "reading.times_half": "pixels of a picture twice as large",
    "reading.times_two": "pixels of a picture half as large",
    "ask.chain.weights": "Weights?",
    "answer.chain.weights": "all {of} tensors fit and are finite",
    "ask.chain.heatmaps": "Heatmaps in annotated boxes?",
    "answer.chain.heatmaps": "mean peak {peak} over {persons} persons, {flat} of the maps flat",
    "answer.chain.heatmaps_broken": "empty: mean peak {peak} over {persons} persons, {flat} of the maps flat; "
    "they differ by {differ} between persons",
    "answer.chain.statistics_broken": "mean peak {peak}, persons differ by {differ}; with the batch's own "
    "statistics in batch norm {train_peak} and {train_differ}",
    "ask.chain.whose": "On whom does the model see somebody?",
    "answer.chain.annotations_foreign": "in the boxes (mean peak {boxes}), not at the annotated persons "
    "({annotated})",
    "answer.chain.boxes_foreign": "at the annotated persons (mean peak {annotated}), not in the boxes ({boxes})",
    "answer.chain.whose_unclear": "mean peak {boxes} in the boxes, {annotated} at the annotated persons",
    "ask.chain.poses": "Poses in annotated boxes?",
    "answer.chain.poses": "mean OKS {oks} over {persons} persons",
    "answer.chain.poses_broken": "mean OKS only {oks} over {persons} persons",
    "answer.chain.poses_exchanged": "mean OKS {oks}, but {exchanged} with left and right exchanged",
    "answer.chain.poses_flip": "mean OKS {oks}, but {plain} without the flip test",
    "answer.chain.poses_trained": "mean OKS {oks}, but {trained} on persons of the training set",
    "ask.chain.ap": "The evaluation itself?",
    "answer.chain.ap": "AP {ap} on {images} images",
    "verdict.chain.files": "The first broken link is the files: {reason}.",
    "verdict.chain.pictures": "The first broken link is the pictures: {num} of {tried} in {prefix} cannot be "
    "used, first {first}.",
    "verdict.chain.anatomy": "The first broken link is the annotations: joints of {ann_file} do not look like "
    "people (limbs are {limbs} of all connections, left and right exchanged in at least {exchanged}).",
    "verdict.chain.round_trip": "The first broken link is the evaluation: a perfect model would score {ap}. "
    "Heatmap size, sigma, decoding or suppression do not fit the data.",
    "verdict.chain.boxes": "The first broken link is the boxes: those of {file} lie on {recall} of the persons "
    "of {ann_file} (by chance {chance}), so boxes and annotations are not of the same pictures.",
    "verdict.chain.boxes_reading": "The first broken link is the boxes: those of {file} lie on {recall} of the "
    "persons; read as {reading} it would be {repaired}.",
    "verdict.chain.annotations_foreign": "The first broken link is the annotations: the model sees people in "
    "the boxes (mean peak {boxes}) rather than where {ann_file} has them ({annotated}), so that file is of "
    "other pictures.",
    "verdict.chain.weights_fit": "The first broken link is the weights: {reason}.",
    "verdict.chain.weights": "The first broken link is the weights: {num} of {of} tensors are not finite, "
    "first {first}.",
    "verdict.chain.heatmaps": "The first broken link is the heatmaps: {flat} of them are flat (mean peak "
    "{peak}). The model sees nobody; files, boxes and evaluation are well.",
    "verdict.chain.heatmaps_same": "The first broken link is the heatmaps: they are the same for every person "
    "(they differ by {differ}). The model does not look; files, boxes and evaluation are well.",
    "verdict.chain.statistics": "The first broken link is batch norm: with its stored statistics the mean peak "
    "is {peak} and heatmaps differ by {differ} between persons, with those of the batch {train_peak} and "
    "{train_differ}.",
    "verdict.chain.exchanged": "The first broken link is left and right: mean OKS {oks}, exchanged "
    "{exchanged}. The annotations of training and evaluation, or their flip pairs, name the sides differently.",
    "verdict.chain.flip": "The first broken link is the flip test: mean OKS {oks} with it, {plain} without. "
    "The flip pairs are wrong.",
    "verdict.chain.other_people": "The first broken link is the poses: mean OKS {oks} on validation persons, "
    "{trained} on training persons. The validation pictures or annotations are not like those of training.",
    "verdict.chain.poses": "The first broken link is the poses: heatmaps have peaks, but mean OKS is {oks}. "
    "The model has not learnt yet where joints are; files, boxes and evaluation are well.",
    "verdict.chain.unclear": "AP is {ap}, and every link for itself is well.",
    "verdict.chain.well": "Every link is well, and AP is {ap} on the images looked at.",
    "action.files": "compare ann_file {ann_file}, bbox_file {bbox_file} and img_prefix {prefix}: all three "
    "have to be of one set",
    "action.boxes": "make the boxes of {file} anew for this set: [left, top, width, height] in pixels",
    "action.gt_boxes": "or evaluate on annotated boxes: --cfg-options data.val.data_cfg.use_gt_bbox=True "
    "data.test.data_cfg.use_gt_bbox=True",
    "action.decoding": "compare heatmap_size, sigma, post_process, modulate_kernel, oks_thr and vis_thr with "
    "the published config",
    "action.statistics": "train longer, or with a larger batch, before evaluating; or use norm_eval=True in "
    "the backbone",
    "action.flip_pairs": "look at which joints the skeleton calls left and right: sdpose check {config}",
    "action.learning": "look at why it does not learn: sdpose check {config}",
    "action.whole_test": "evaluate the whole set: sdpose test {config} {checkpoint} --split val",
}
