// What was typed to log in is not lost when the server is away.
import { keepPage } from "./keep.js";

keepPage("/login");
